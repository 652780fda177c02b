package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// idleTime is how long the server keeps a connection that asks nothing.
const idleTime = 5 * time.Minute

// serve answers queries until the listener is closed.
func serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // such as "too many open files": it passes
			continue
		}
		go func() {
			defer conn.Close()
			if err := answer(conn.(*wrap.Conn)); err != nil {
				fmt.Fprintln(os.Stderr, conn.RemoteAddr(), err)
			}
		}()
	}
}

// answer answers one client's requests until it closes.
func answer(conn *wrap.Conn) error {
	lines := bufio.NewReaderSize(conn, maxLine)
	for {
		conn.SetReadDeadline(time.Now().Add(idleTime))
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var req request
		if err := json.Unmarshal(line, &req); err != nil {
			return fmt.Errorf("not a request: %w", err)
		}
		out, err := json.Marshal(execute(req, conn.ConnectionState()))
		if err != nil {
			return err
		}
		conn.SetWriteDeadline(time.Now().Add(idleTime))
		if _, err := conn.Write(append(out, '\n')); err != nil {
			return err
		}
	}
}

// execute knows two statements: SELECT with a sum of integers, and SHOW tls.
func execute(req request, state tls.ConnectionState) reply {
	if strings.EqualFold(req.Query, "SHOW tls") {
		return reply{Columns: []string{"property", "value"}, Rows: [][]any{
			{"version", tls.VersionName(state.Version)},
			{"cipher suite", tls.CipherSuiteName(state.CipherSuite)},
			{"server name", state.ServerName},
		}}
	}
	word, expr, _ := strings.Cut(req.Query, " ")
	if !strings.EqualFold(word, "SELECT") {
		return reply{Error: fmt.Sprintf("unknown statement %q (have SELECT, SHOW tls)", word)}
	}
	n, err := sum(expr, req.Args)
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Columns: []string{strings.TrimSpace(expr)}, Rows: [][]any{{strconv.FormatInt(n, 10)}}}
}

// sum computes terms with + and - between them. A term is an integer, or a question mark for the next of args. As with
// int64, the sum wraps around.
func sum(expr string, args []int64) (total int64, err error) {
	for sign := int64(1); ; {
		end := strings.IndexAny(expr, "+-")
		term := expr
		if end >= 0 {
			term = expr[:end]
		}
		n, rest, err := value(strings.TrimSpace(term), args)
		if err != nil {
			return 0, err
		}
		args = rest
		total += sign * n
		if end < 0 {
			break
		}
		sign = 1
		if expr[end] == '-' {
			sign = -1
		}
		expr = expr[end+1:]
	}
	if len(args) > 0 {
		return 0, fmt.Errorf("%d arguments too many", len(args))
	}
	return total, nil
}

// value returns the value of a term, and the arguments that are left.
func value(term string, args []int64) (int64, []int64, error) {
	if term != "?" {
		n, err := strconv.ParseInt(term, 10, 64)
		if err != nil {
			return 0, nil, fmt.Errorf("%q is no integer", term)
		}
		return n, args, nil
	}
	if len(args) == 0 {
		return 0, nil, errors.New("an argument is missing")
	}
	return args[0], args[1:], nil
}
