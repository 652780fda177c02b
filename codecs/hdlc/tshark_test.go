package hdlc_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

// tshark takes the frames apart as those of PPP, finds the check sequence right and the payload as it was.
func TestTshark(t *testing.T) {
	for fcs, name := range map[int]string{16: "16-Bit", 32: "32-Bit"} {
		t.Run(name, func(t *testing.T) {
			c := codec(t, fmt.Sprintf("fcs=%d,header=ff0300f1,accm=ffffffff", fcs)) // a protocol that has no dissector
			capture := tsharktest.Capture{LinkType: tsharktest.User0, Options: []string{
				"-o", `uat:user_dlts:"User 0 (DLT=147)","ppp_raw_hdlc","0","","0",""`, "-o", "ppp.fcs_type:" + name}}
			var want []string
			r := rand.NewChaCha8([32]byte{})
			for _, n := range []int{1, 2, 100, 1500} {
				payload := make([]byte, n)
				r.Read(payload)
				b := frame.NewBuf(c.Limits().Head, payload, c.Limits().Tail)
				if err := c.Encode(b); err != nil {
					t.Fatal(err)
				}
				capture.Packets = append(capture.Packets, b.Bytes())
				want = append(want, fmt.Sprintf("[0xff 0x03 0x00f1 1 %s]", hex.EncodeToString(payload)))
			}
			fields := []string{"ppp.address", "ppp.control", "ppp.protocol", "ppp.fcs.status", "data.data"}
			for i, row := range capture.Fields(t, fields...) {
				if fmt.Sprint(row) != want[i] {
					t.Errorf("tshark finds %v, want %s", row, want[i])
				}
			}
		})
	}
}
