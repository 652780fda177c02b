package preamble

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// maxCommands bounds what a client may say before it asks for TLS. A mail program asks for capabilities, and
	// perhaps for a few things that it cannot have.
	maxCommands = 32
	// maxLines bounds an answer of several lines: a list of capabilities, or the banner of a host.
	maxLines = 128
	// maxVerb is longer than any command.
	maxVerb = 16
)

// A textServer is the server's side of a protocol of lines.
type textServer struct {
	greeting string // without CR LF at its end; empty: the client speaks first
	command  string // what begins TLS
	// answer returns what was asked, fit to be shown (no arguments: a password may be among them), and the reply to it,
	// without CR LF at its end; an empty reply is not sent.
	answer func(line string) (verb, reply string, next step)
}

// A step is what follows a reply.
type step uint8

const (
	stay   step = iota // another command
	refuse             // another command: this one needs TLS
	begin              // TLS
	leave              // nothing: the client goes
)

// serve greets and answers commands until one begins TLS.
func (t *talk) serve(s textServer) error {
	if err := t.sendLine("the greeting", s.greeting); err != nil {
		return err
	}
	odd := "" // the first command that needs TLS
	for range maxCommands {
		line, err := t.line(s.command)
		if err != nil {
			return err
		}
		verb, reply, next := s.answer(line)
		if err := t.sendLine("the answer to "+show(verb), reply); err != nil {
			return err
		}
		switch {
		case next == begin:
			return nil
		case next == leave && odd == "":
			return t.refused(s.command, show(verb), "the client goes away; does it want no TLS?")
		case next == leave:
			return t.refused(s.command, odd, "the client goes on without TLS; make TLS (STARTTLS) compulsory there")
		case next == refuse && odd == "":
			odd = show(verb)
		}
	}
	return t.wrong(s.command, nil, fmt.Sprintf("%d other commands; make TLS (STARTTLS) compulsory there", maxCommands))
}

func (t *talk) sendLine(what, line string) error {
	if line == "" {
		return nil
	}
	return t.send(what, []byte(line+"\r\n"))
}

// cutVerb returns the first word of a line in upper case, and the rest.
func cutVerb(line string) (verb, rest string) {
	verb, rest, _ = strings.Cut(strings.TrimSpace(line), " ")
	return strings.ToUpper(verb[:min(len(verb), maxVerb)]), strings.TrimSpace(rest)
}

// ask sends a command and reads the reply to it.
func (t *talk) ask(command, why string, codes ...string) ([]string, error) {
	verb, _, _ := strings.Cut(command, " ")
	if err := t.sendLine(verb, command); err != nil {
		return nil, err
	}
	return t.reply(fmt.Sprintf("%s to %s", strings.Join(codes, " or "), verb), why, codes...)
}

// reply reads a reply of SMTP, FTP or NNTP with one of some codes and returns the text of its lines. All but the last
// have a hyphen behind the code; in FTP those between may be anything. why is the reason when there is another code.
//
// https://www.rfc-editor.org/rfc/rfc5321.html#section-4.2.1
// https://www.rfc-editor.org/rfc/rfc959.html#section-4.2
func (t *talk) reply(want, why string, codes ...string) (lines []string, err error) {
	line, err := t.line(want)
	if err != nil {
		return nil, err
	}
	code, ok := replyCode(line)
	switch {
	case !ok:
		return nil, t.wrong(want, []byte(line), "")
	case !slices.Contains(codes, code):
		return nil, t.refused(want, show(line), why)
	}
	for len(lines) < maxLines {
		same := strings.HasPrefix(line, code)
		if same {
			lines = append(lines, line[min(len(line), len(code)+1):])
		} else {
			lines = append(lines, line)
		}
		if same && (len(line) == len(code) || line[len(code)] == ' ') {
			return lines, nil
		}
		if line, err = t.line(want); err != nil {
			return nil, err
		}
	}
	return nil, t.wrong(want, []byte(line), fmt.Sprintf("the reply has more than %d lines", maxLines))
}

// replyCode returns the three digits at the start of the first line of a reply.
func replyCode(line string) (string, bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return "", false
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return line[:3], true
}

// hasWord reports whether one of the lines begins with a word, in any case.
func hasWord(lines []string, word string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		verb, _ := cutVerb(line)
		return verb == word
	})
}

const (
	noStartTLS = "it offers no TLS; switch it on there, or is there another port for it?"
	notNow     = "it has no TLS at present; is a certificate missing there?"
	notServing = "it does not want to serve us; ask whoever runs it"
)

// testedSTARTTLS is what most protocols of lines were tested against.
const testedSTARTTLS = "openssl s_client 3.0 as client, own vectors"
