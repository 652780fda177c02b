package bio_test

import (
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/enginetest"
)

func TestEngine(t *testing.T) {
	stack, err := bio.Lookup("tls")
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Run(t, stack)
}
