// Package all registers every codec of this module. Import it for its side effect:
//
//	import _ "github.com/encase-tls/encase/codecs/all"
package all

import (
	_ "github.com/encase-tls/encase/codecs/capwap"
	_ "github.com/encase-tls/encase/codecs/channeldata"
	_ "github.com/encase-tls/encase/codecs/cobs"
	_ "github.com/encase-tls/encase/codecs/desc"
	_ "github.com/encase-tls/encase/codecs/eap"
	_ "github.com/encase-tls/encase/codecs/eapol"
	_ "github.com/encase-tls/encase/codecs/hdlc"
	_ "github.com/encase-tls/encase/codecs/isotp"
	_ "github.com/encase-tls/encase/codecs/length"
	_ "github.com/encase-tls/encase/codecs/openvpn"
	_ "github.com/encase-tls/encase/codecs/radius"
	_ "github.com/encase-tls/encase/codecs/raw"
	_ "github.com/encase-tls/encase/codecs/shim"
	_ "github.com/encase-tls/encase/codecs/slip"
	_ "github.com/encase-tls/encase/codecs/tds"
	_ "github.com/encase-tls/encase/codecs/tpkt"
	_ "github.com/encase-tls/encase/codecs/wasm"
	_ "github.com/encase-tls/encase/codecs/websocket"
)
