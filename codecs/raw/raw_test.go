package raw_test

import (
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/codectest"
	_ "github.com/encase-tls/encase/codecs/raw"
)

func TestRules(t *testing.T) {
	mk, err := codecs.Parse("raw")
	if err != nil {
		t.Fatal(err)
	}
	codectest.Run(t, mk)
}

func TestNoArgument(t *testing.T) {
	if _, err := codecs.Parse("raw:x"); err == nil || err.Error() != `raw: takes no argument, not "x"` {
		t.Errorf("got %v", err)
	}
}
