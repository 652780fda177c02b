package main

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// Who may log in. Everybody can read it here, so the data had better be worth no more.
const (
	user     = "sa"
	password = "secret"
)

const (
	loginTime = 10 * time.Second // for the login, behind the handshake
	idleTime  = 5 * time.Minute  // for a connection that asks nothing

	errorLogin  = 18456 // the numbers that SQL Server has for these
	errorSyntax = 102
)

// serve answers clients until the listener is closed, and tells log of those that it could not.
func serve(listener net.Listener, cfg *wrap.Config, log io.Writer) {
	for {
		tcp, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // such as "too many open files": it passes
			continue
		}
		go func() {
			if err := handle(wrap.Server(wrap.Stream(tcp), cfg)); err != nil {
				fmt.Fprintln(log, tcp.RemoteAddr(), err)
			}
		}()
	}
}

// handle serves one client until it closes the connection.
func handle(conn *wrap.Conn) error {
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		return err
	}
	l := newLink(conn)
	encryption := describe(conn.ConnectionState(), l.secured != nil)
	defer func() { l.conn.Close() }() // may have changed
	l.conn.SetDeadline(time.Now().Add(loginTime))
	if err := admit(l); err != nil {
		return err
	}
	for {
		l.conn.SetDeadline(time.Now().Add(idleTime))
		typ, message, err := l.read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.write(typeReply, reply(typ, message, encryption)); err != nil {
			return err
		}
	}
}

func describe(state tls.ConnectionState, loginOnly bool) string {
	if loginOnly {
		return "the login encrypted: what follows it is in clear"
	}
	return fmt.Sprintf("everything encrypted: %s, %s",
		tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
}

// admit lets a client log in, or tells it why not and returns that.
func admit(l *link) error {
	typ, message, err := l.read()
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	if typ != typeLogin {
		return fmt.Errorf("login: a message of the type %#02x instead", typ)
	}
	who, err := parseLogin(message)
	if err != nil {
		return turnAway(l, err.Error())
	}
	known := subtle.ConstantTimeCompare([]byte(who.user), []byte(user)) &
		subtle.ConstantTimeCompare([]byte(who.password), []byte(password))
	if known != 1 {
		return turnAway(l, fmt.Sprintf("Login failed for user %.40q.", who.user))
	}
	return l.write(typeReply, welcome(min(who.version, version74)))
}

// turnAway tells a client why it may not log in, and returns that.
func turnAway(l *link, why string) error {
	return errors.Join(errors.New(why), l.write(typeReply, failure(errorLogin, severityRefused, why)))
}

// reply returns the answer to a message.
func reply(typ byte, message []byte, encryption string) []byte {
	switch typ {
	case typeAttention:
		return appendDone(nil, doneAttention, 0)
	case typeBatch:
		value, err := execute(statement(message), encryption)
		if err != nil {
			return failure(errorSyntax, severityWrong, err.Error())
		}
		return oneRow(value)
	}
	return failure(errorSyntax, severityWrong, fmt.Sprintf("this server has no messages of the type %#02x", typ))
}

// statement returns the SQL in a batch, behind the headers, whose length stands first.
func statement(message []byte) string {
	if len(message) >= 4 {
		if n := uint64(le.Uint32(message)); n >= 4 && n <= uint64(len(message)) {
			message = message[n:]
		}
	}
	return strings.TrimRight(strings.TrimSpace(text(message)), "; ")
}

// execute knows SELECT with an integer, a text in quotes, or the word encryption.
func execute(sql, encryption string) (any, error) {
	word, expr, _ := strings.Cut(sql, " ")
	expr = strings.TrimSpace(expr)
	if !strings.EqualFold(word, "SELECT") {
		return nil, fmt.Errorf("unknown statement %.40q (have SELECT)", word)
	}
	if strings.EqualFold(expr, "encryption") {
		return encryption, nil
	}
	if n, err := strconv.ParseInt(expr, 10, 32); err == nil {
		return int32(n), nil
	}
	if len(expr) >= 2 && expr[0] == '\'' && expr[len(expr)-1] == '\'' {
		inner := strings.ReplaceAll(expr[1:len(expr)-1], "''", "\x00")
		if !strings.Contains(inner, "'") {
			return strings.ReplaceAll(inner, "\x00", "'"), nil
		}
	}
	return nil, fmt.Errorf("incorrect syntax near %.40q (have an integer, a text in quotes, and encryption)", expr)
}
