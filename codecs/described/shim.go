package described

import "fmt"

// shim describes the codecs of package shim.
func shim(a argument) (text, beside string) {
	switch a.first {
	case "vxlan":
		return vxlan(a), ""
	case "geneve":
		return geneve(a), "A reader passes over options, which this end does not write."
	}
	return gue(a), ""
}

// https://www.rfc-editor.org/rfc/rfc7348.html#section-5
func vxlan(a argument) string {
	return fmt.Sprintf(`reserved   4  any 0
valid      1  = 1
reserved2  3  any 0
reserved3 24  any 0
vni       24  = %s
reserved4  8  any 0
payload max 65499
`, a.or("vni", "0"))
}

// https://www.rfc-editor.org/rfc/rfc8926.html#section-3.4
func geneve(a argument) string {
	return fmt.Sprintf(`version    2  = 0
optlen     6  = 0
control    1  = 0
critical   1  = 0
reserved   6  any 0
protocol  16  = %s
vni       24  = %s
reserved2  8  any 0
payload max 65499
`, a.or("proto", "0x88b5"), a.or("vni", "0"))
}

// https://datatracker.ietf.org/doc/html/draft-ietf-intarea-gue-09#section-3.1
func gue(a argument) string {
	return fmt.Sprintf(`variant  2  = 0
control  1  = 0
hlen     5  = 0
proto    8  = %s
flags   16  = 0
payload max 65503
`, a.or("proto", "59"))
}
