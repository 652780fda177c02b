package dtlstest_test

import (
	"testing"

	"github.com/encase-tls/encase/codecs/dtlstest"
	"github.com/encase-tls/encase/frame"
)

// Without frames, DTLS survives the network that a Link is.
func TestRaw(t *testing.T) { dtlstest.Exchange(t, dtlstest.Link(t, frame.Raw)) }
