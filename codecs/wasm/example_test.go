package wasm_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/frame"
)

// A client and a server agree on a plugin, and on its options.
func ExampleParse() {
	mk, err := wasm.Parse("@veil,key=c0ffee")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, _ := mk(frame.Client)
	server, _ := mk(frame.Server)

	ev, err := client.Send(nil, frame.NewBuf(client.Limits().Head, []byte("hello"), 0), true)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%x\n", ev[0].Buf.Bytes())
	if ev, err = server.Recv(nil, ev[0].Buf); err == nil {
		fmt.Printf("%s\n", ev[0].Buf.Bytes())
	}
	// Output:
	// 05a0533e9f08
	// hello
}

// A plugin that breaks a rule is not loaded.
func ExampleNew_fault() {
	_, err := wasm.New("page.wasm", []byte("<!DOCTYPE html>"), "")
	fmt.Println(err)
	// Output:
	// wasm: page.wasm breaks the rule "module" of plugins: it does not begin as a module of WebAssembly does
	// 	the rule: A file is a valid module of WebAssembly 2.0, with no more in it than the other rules name.
}
