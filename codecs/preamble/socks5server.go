package preamble

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

func (s SOCKS5) server(ctx context.Context, t *talk) error {
	if err := s.admit(t); err != nil {
		return err
	}
	want := "a request to connect"
	if s.Target != "" {
		want += " to " + s.Target
	}
	command, err := readSOCKS(t, want)
	if err != nil {
		return err
	}
	if command != socksConnect {
		return socksTurnDown(t, socksNoCommand,
			t.refused(want, fmt.Sprintf("the command %d", command), "this proxy only connects"))
	}
	target, err := readSOCKSAddress(t, want)
	if _, ok := errors.AsType[*Error](err); ok {
		return socksTurnDown(t, socksNoAddress, err)
	}
	if err != nil {
		return err
	}
	if err := acceptTarget(ctx, t, want, s.Accept, s.Target, target); err != nil {
		return socksTurnDown(t, socksNotAllowed, err)
	}
	return t.send("the reply", socksReply(0))
}

// admit agrees on a method: the only one that is right here.
func (s SOCKS5) admit(t *talk) error {
	const want = "a hello with methods of authentication"
	if err := t.expect(string([]byte{socksVersion}), want); err != nil {
		return err
	}
	n, err := t.takeByte(want)
	if err != nil {
		return err
	}
	methods, err := t.take(int(n), want)
	if err != nil {
		return err
	}
	method := byte(socksNoAuth)
	if s.Secret != nil {
		method = socksPassword
	}
	if slices.Contains(methods, method) {
		return s.admitBy(t, method)
	}
	if err := t.send("the answer", []byte{socksVersion, socksNoMethod}); err != nil {
		return err
	}
	if s.Secret == nil {
		return t.refused(want, show(methods), "let it offer to go without authentication")
	}
	return t.refused(want, show(methods), "let it offer user name and password")
}

func (s SOCKS5) admitBy(t *talk, method byte) error {
	if err := t.send("the method", []byte{socksVersion, method}); err != nil || method == socksNoAuth {
		return err
	}
	const want = "user name and password"
	if err := t.expect(string([]byte{socksAuth}), want); err != nil {
		return err
	}
	user, err := takeCounted(t, want)
	if err != nil {
		return err
	}
	password, err := takeCounted(t, want)
	if err != nil {
		return err
	}
	if !s.Secret.is(user, password) {
		if err := t.send("the status", []byte{socksAuth, 1}); err != nil {
			return err
		}
		return t.refused(want, "wrong ones", "let it use those of the option secret")
	}
	return t.send("the status", []byte{socksAuth, 0})
}

// takeCounted returns as many bytes as the first one says.
func takeCounted(t *talk, want string) ([]byte, error) {
	n, err := t.takeByte(want)
	if err != nil {
		return nil, err
	}
	return t.take(int(n), want)
}

// socksTurnDown replies with a refusal, and returns why.
func socksTurnDown(t *talk, code byte, why error) error {
	if err := t.send("the reply", socksReply(code)); err != nil {
		return err
	}
	return why
}

// socksReply returns a reply that names no address.
func socksReply(code byte) []byte { return []byte{socksVersion, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0} }
