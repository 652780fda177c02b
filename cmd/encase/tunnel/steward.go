package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A steward is a process of its own that does for the daemon what needs more rights than a daemon should have that
// talks with strangers: it sets the name servers of the machine, and runs the programs of the configuration. It does
// nothing else, and hears from nobody but the daemon:
//
//	daemon ─▶ {"do":"begin", ...} {"do":"names", ...} {"do":"post_up"} ... ─▶ steward
//	       ◀─ {"error":"...","used":"..."} for each                       ◀─
//
// When the daemon is gone, in order or not, the steward puts the name servers back and ends.
type steward struct {
	toIt   *os.File
	fromIt *os.File

	mu      sync.Mutex
	answers *json.Decoder
	used    string // what name servers are set by; empty: none are
}

// What a steward is asked for.
const (
	doBegin   = "begin"   // task; what a daemon that was killed has left is put back
	doNames   = "names"   // Servers, Domains
	doRestore = "restore" // name servers
	doPostUp  = "post_up"
	doPreDown = "pre_down"
)

type stewardRequest struct {
	Do      string       `json:"do"`
	Task    *stewardTask `json:"task,omitempty"`
	Servers []netip.Addr `json:"servers,omitempty"`
	Domains []string     `json:"domains,omitempty"`
}

// A stewardTask is all that a steward may ever do.
type stewardTask struct {
	Interface string     `json:"interface"`
	Folder    string     `json:"folder"` // of the state file
	Names     string     `json:"names"`
	PostUp    []string   `json:"post_up"`
	PreDown   []string   `json:"pre_down"`
	Level     slog.Level `json:"level"`
	Format    string     `json:"format"`
}

type stewardAnswer struct {
	Error string `json:"error,omitempty"`
	Used  string `json:"used,omitempty"`
}

const (
	stewardEnv  = "ENCASE_STEWARD" // in the environment of a steward
	pipesEnv    = "ENCASE_PIPES"   // in that of a daemon that has begun anew: the ends of its pipes
	stewardTime = 2 * hookTime     // for an answer
)

// needsSteward reports whether a configuration has anything for one to do.
func (c *config) needsSteward() bool {
	return c.side == client && c.dnsProgram != "off" || len(c.postUp)+len(c.preDown) > 0
}

func (c *config) task() *stewardTask {
	return &stewardTask{Interface: c.iface.Name, Folder: stateFolder(), Names: c.dnsProgram, PostUp: c.postUp,
		PreDown: c.preDown, Level: c.logLevel, Format: c.logFormat}
}

// startSteward starts one, with the rights of this process, or takes over the one that this process had before it
// began anew. It is nil if there is nothing to do.
func startSteward(cfg *config, logs io.Writer) (*steward, error) {
	if !cfg.needsSteward() {
		return nil, nil
	}
	if ends := os.Getenv(pipesEnv); ends != "" {
		os.Unsetenv(pipesEnv)
		to, from, _ := strings.Cut(ends, ",")
		return newSteward(inheritedPipe(to), inheritedPipe(from)), nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	in, toIt, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	fromIt, out, err := os.Pipe()
	if err != nil {
		toIt.Close()
		return nil, err
	}
	defer out.Close()
	c := exec.Command(program, os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), stewardEnv+"=1")
	c.Stdin, c.Stdout, c.Stderr = in, out, logs
	if err := c.Start(); err != nil {
		toIt.Close()
		fromIt.Close()
		return nil, fmt.Errorf("starting a process for name servers and programs: %w", err)
	}
	go c.Wait()
	return newSteward(toIt, fromIt), nil
}

func newSteward(toIt, fromIt *os.File) *steward {
	return &steward{toIt: toIt, fromIt: fromIt, answers: json.NewDecoder(fromIt)}
}

// ask sends a request and waits for the answer. A nil steward has nothing to do.
func (s *steward) ask(q stewardRequest) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if _, err := s.toIt.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("the process for name servers and programs has ended: %w", err)
	}
	s.fromIt.SetReadDeadline(time.Now().Add(stewardTime))
	var a stewardAnswer
	if err := s.answers.Decode(&a); err != nil {
		return fmt.Errorf("the process for name servers and programs gives no answer: %w", err)
	}
	s.used = a.Used
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// inUse returns the program that has set name servers; empty: none has.
func (s *steward) inUse() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// close lets a steward end, and waits until it has.
func (s *steward) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.toIt.Close()
	s.fromIt.SetReadDeadline(time.Now().Add(stewardTime))
	io.Copy(io.Discard, s.fromIt)
	s.fromIt.Close()
}

// beSteward is the work of a steward: it ends with its input. Signals are for the daemon.
func beSteward(in io.Reader, out, logs io.Writer) error {
	os.WriteFile("/proc/self/comm", []byte("encase-steward"), 0) // for ps, where that is possible
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	var w stewardWork
	for {
		var q stewardRequest
		if err := requests.Decode(&q); err != nil {
			if w.names != nil {
				return w.names.restore()
			}
			return nil
		}
		a := stewardAnswer{}
		if err := w.do(&q, logs); err != nil {
			a.Error = err.Error()
		}
		if w.names != nil {
			a.Used = w.names.inUse()
		}
		answers.Encode(a) // a daemon that is gone shows at the next request
	}
}

// stewardWork is what a steward knows.
type stewardWork struct {
	task  *stewardTask
	names *nameServers
}

func (w *stewardWork) do(q *stewardRequest, logs io.Writer) error {
	if (q.Do == doBegin) == (w.task != nil) || q.Do == doBegin && q.Task == nil {
		return fmt.Errorf("%s at the wrong time", q.Do)
	}
	switch q.Do {
	case doBegin:
		w.task = q.Task
		log := newLogger(logs, q.Task.Level, q.Task.Format)
		w.names = newNameServers(q.Task.Names, q.Task.Interface, q.Task.Folder, log)
		return w.names.restore() // what a daemon that was killed has left
	case doNames:
		return w.names.set(q.Servers, q.Domains)
	case doRestore:
		return w.names.restore()
	case doPostUp:
		return runHook(w.task.PostUp, w.task.Interface)
	case doPreDown:
		return runHook(w.task.PreDown, w.task.Interface)
	}
	return fmt.Errorf("%q is not known", q.Do)
}

// hookTime bounds how long a program of the configuration may run.
const hookTime = 30 * time.Second

// runHook runs a program of the configuration.
func runHook(argv []string, name string) error {
	if len(argv) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), hookTime)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), "ENCASE_INTERFACE="+name)
	c.WaitDelay = time.Second // of what it has started and left
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s of the configuration failed: %w: %s", argv[0], err, cut(string(out)))
	}
	return nil
}

func cut(s string) string { return s[:min(len(s), 500)] }
