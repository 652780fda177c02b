package codec

import (
	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/codecs/dissector"
)

func dissectorCommand() *cobra.Command {
	var o dissector.Options
	c := &cobra.Command{
		Use:   "dissector SPEC",
		Short: "Write a dissector for Wireshark",
		Long: `Write a dissector for Wireshark and tshark, in Lua: it shows every field of a
frame, says what a reader refuses the frame for, and hands the payload to their
dissectors of TLS and DTLS, which then can decrypt it as well, given a key log.

Codecs made from descriptions have one, and built-in ones that Wireshark does
not know, or whose payload it does not take for TLS. In filters a protocol is
called encase.NAME, and its fields encase.NAME.FIELD. Frames are looked at on
the ports that are given, or where "Decode As" says so.

Wireshark loads the file from its directory of personal plugins.`,
		Example: `  encase codec dissector desc:demo.frame --tcp 4433 > demo.lua
  tshark -X lua_script:demo.lua -r traffic.pcap -V
  tshark -X lua_script:demo.lua -r traffic.pcap -Y 'encase.demo.frame.wrong'
  encase codec dissector cobs:crc=16 --tcp 7000 --name line > line.lua`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := parse(args[0]); err != nil {
				return err
			}
			text, err := dissector.Lua(args[0], o)
			if err != nil {
				return exit.Usagef("%w", err)
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringVar(&o.Name, "name", "", "`NAME` in filters (default: of the description's file, or the codec)")
	c.Flags().Uint16Var(&o.TCP, "tcp", 0, "TCP `PORT` of the protocol")
	c.Flags().Uint16Var(&o.UDP, "udp", 0, "UDP `PORT` of the protocol")
	return c
}
