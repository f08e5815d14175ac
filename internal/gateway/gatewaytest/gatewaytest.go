// Package gatewaytest holds every gateway that calls a carrier over HTTP to the same promises.
//
// A gateway brings a [Carrier]: how it is opened, and what its carrier answers, good and bad. [Run] adds what
// any carrier may do on a bad day, and reads every error for what must not be in it.
package gatewaytest

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// Number, Code and Body are in the text that is sent, and in no error.
const (
	Number = "+12025550143"
	Code   = "739182"
	Body   = "Marker Works: " + Code + " is your code for 5 minutes. Do not share it.\n\n@login.example.test #" + Code
)

// Text is what the tests send.
func Text() gateway.Text {
	return gateway.Text{ID: "msg4TestOnce", Channel: "sms", To: Number, Body: Body, NotAfter: Now().Add(5 * time.Minute)}
}

// Now is the time in the tests.
func Now() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// A Reply is what a carrier answers. Without a type it is JSON.
type Reply struct {
	Status int
	Type   string
	Body   string
}

func (r Reply) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", cmp.Or(r.Type, "application/json"))
	w.WriteHeader(r.Status)
	_, _ = io.WriteString(w, r.Body)
}

// A Carrier is a gateway's far end.
type Carrier struct {
	// Open makes the gateway, as it would be configured for a carrier at the address.
	Open    func(t *testing.T, address string) gateway.Gateway
	Secrets []secret.Text // in that configuration

	Taken   Reply
	Refused map[string]Reply        // this number will never get it
	Passing map[string]Reply        // no, but not for good
	Echo    func(said string) Reply // a no that quotes something where the carrier's words stand

	Channels bool // carries more than text messages
}

// Serve starts a carrier that is told what to answer by handle.
func Serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

// Run holds a gateway to its promises.
func Run(t *testing.T, c Carrier) {
	t.Run("taken", c.taken)
	for name, reply := range c.Refused {
		t.Run("refused/"+name, func(t *testing.T) {
			if err := c.send(t, reply); !errors.Is(err, gateway.ErrRefused) {
				t.Errorf("%v, want a refusal of the number", err)
			}
		})
	}
	for name, reply := range c.passing() {
		t.Run("passing/"+name, func(t *testing.T) { wantFailure(t, c.send(t, reply)) })
	}
	t.Run("redirects are not followed", c.redirected)
	t.Run("ends with its context", c.slow)
	t.Run("carrier is down", c.down)
	t.Run("answer breaks off", c.torn)
	t.Run("answer never ends", c.endless)
	t.Run("S-72 errors repeat nothing", c.silent)
	t.Run("other channels", c.otherChannel)
}

func (c Carrier) taken(t *testing.T) {
	calls := 0
	address := Serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Method != http.MethodPost {
			t.Errorf("asked by %s", r.Method)
		}
		for _, part := range []string{strings.TrimPrefix(Number, "+"), Code} {
			if strings.Contains(r.URL.String(), part) {
				t.Errorf("the address, which proxies log, holds %s: %s", part, r.URL)
			}
		}
		c.Taken.write(w)
	})
	g := c.Open(t, address)
	if g.Name() == "" {
		t.Error("the gateway has no name")
	}
	if err := c.sendBy(t, t.Context(), g, Text()); err != nil || calls != 1 {
		t.Errorf("%v after %d calls, want one call that goes well", err, calls)
	}
}

// passing is what may be answered to anybody on a bad day, and by this carrier in particular.
func (c Carrier) passing() map[string]Reply {
	const page = "<!doctype html><title>Sign in to the network</title>"
	all := map[string]Reply{
		"a page that says yes":  {Status: 200, Type: "text/html; charset=utf-8", Body: page},
		"a page that says no":   {Status: 403, Type: "text/html", Body: page},
		"a proxy's bad gateway": {Status: 502, Type: "text/html", Body: page},
		"nothing, unavailable":  {Status: 503},
		"nothing, too many":     {Status: 429},
		"yes without an end":    {Status: c.Taken.Status, Type: c.Taken.Type, Body: c.Taken.Body + strings.Repeat(" ", 1<<20)},
		"no without an end":     {Status: 400, Body: strings.Repeat("x", 1<<20)},
		"half of a yes":         {Status: c.Taken.Status, Body: `{"commands":[{"message_uuid":"1","sid":"1","Message`},
		"a list":                {Status: 200, Body: `[]`},
		"an unknown yes":        {Status: 200, Body: `{"hello":{"there":[1,2,3]},"status":"hello"}`},
	}
	for name, reply := range c.Passing {
		all[name] = reply
	}
	return all
}

func (c Carrier) redirected(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := Serve(t, func(w http.ResponseWriter, _ *http.Request) {
			t.Errorf("a %d was followed", status)
			c.Taken.write(w)
		})
		address := Serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) })
		wantFailure(t, c.sendBy(t, t.Context(), c.Open(t, address), Text()))
	}
}

func (c Carrier) slow(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"within the answer": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
		},
	} {
		ctx, giveUp := context.WithCancel(t.Context())
		address := Serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the server sees us hang up only after it has read all
			begin(w)
			giveUp()
			<-r.Context().Done()
		})
		if err := c.sendBy(t, ctx, c.Open(t, address), Text()); !errors.Is(err, context.Canceled) {
			t.Errorf("given up %s: %v, want %v", name, err, context.Canceled)
		}
		late, done := context.WithDeadline(t.Context(), time.Now())
		if err := c.sendBy(t, late, c.Open(t, address), Text()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("too late: %v, want %v", err, context.DeadlineExceeded)
		}
		done()
	}
}

func (c Carrier) down(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	wantFailure(t, c.sendBy(t, t.Context(), c.Open(t, s.URL), Text()))
}

// torn is a carrier whose answer stops in the middle, or never was HTTP and quotes what it heard.
func (c Carrier) torn(t *testing.T) {
	heard := strings.Join([]string{Number, Code, Body, c.secrets()}, " ")
	for name, answer := range map[string]string{
		"nothing":         "",
		"half a head":     "HTTP/1.1 200 OK\r\nContent-Ty",
		"half a body":     "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"no HTTP":         strings.ReplaceAll(heard, "\n", " ") + "\r\n\r\n",
		"no status":       "HTTP/1.1 " + strings.ReplaceAll(heard, "\n", " ") + "\r\n\r\n",
		"no length":       "HTTP/1.1 200 OK\r\nContent-Length: " + Code + Code + "x\r\n\r\n",
		"no media type":   "HTTP/1.1 400 No\r\nContent-Type: " + strings.ReplaceAll(heard, "\n", " ") + "\r\nContent-Length: 0\r\n\r\n",
		"an endless head": "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			wantFailure(t, c.sendBy(t, t.Context(), c.Open(t, raw(t, answer)), Text()))
		})
	}
}

// endless is a carrier that talks until somebody hangs up. What the sockets between us hold is some megabytes.
func (c Carrier) endless(t *testing.T) {
	const enough = 32 << 20
	told := make(chan int, 1)
	address := Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		sum, piece := 0, make([]byte, 64<<10)
		for sum < enough {
			n, err := w.Write(piece)
			sum += n
			if err != nil {
				break
			}
		}
		told <- sum
	})
	wantFailure(t, c.sendBy(t, t.Context(), c.Open(t, address), Text()))
	if sum := <-told; sum >= enough {
		t.Errorf("listened to %d bytes, and would have gone on", sum)
	}
}

// raw starts a server that answers every request with the same bytes and hangs up.
func raw(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 64<<10)
			_, _ = conn.Read(buf)
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

// silent asks a carrier that quotes everything it was told, in every way it can.
func (c Carrier) silent(t *testing.T) {
	for name, quote := range map[string]func(heard string) string{
		"as it was":  func(heard string) string { return heard },
		"unescaped":  func(heard string) string { s, _ := url.QueryUnescape(heard); return s },
		"the text":   func(string) string { return "cannot deliver '" + Body + "'" },
		"the number": func(string) string { return Number + " and +1 (202) 555-0143" },
		"the code":   func(string) string { return Code },
		"secrets":    func(string) string { return c.secrets() },
		"no text":    func(string) string { return "\x00\xff\x1b[31m\u202e" + Code + "\n\r" },
	} {
		t.Run(name, func(t *testing.T) {
			address := Serve(t, func(w http.ResponseWriter, r *http.Request) {
				heard, _ := httputil.DumpRequest(r, true)
				reply := c.Echo(quote(string(heard)))
				reply.write(w)
			})
			err := c.sendBy(t, t.Context(), c.Open(t, address), Text())
			if err == nil {
				t.Fatal("taken, though the carrier said no")
			}
			if s := err.Error(); len(s) > 400 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '\u202e' }) {
				t.Errorf("not a short plain line: %q", s)
			}
		})
	}
}

func (c Carrier) otherChannel(t *testing.T) {
	called := false
	address := Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		called = true
		c.Taken.write(w)
	})
	text := Text()
	text.Channel = "email"
	err := c.sendBy(t, t.Context(), c.Open(t, address), text)
	if c.Channels {
		if err != nil || !called {
			t.Errorf("%v, want it carried", err)
		}
		return
	}
	wantFailure(t, err)
	if called {
		t.Error("an e-mail went out as a text message")
	}
}

func (c Carrier) send(t *testing.T, r Reply) error {
	t.Helper()
	address := Serve(t, func(w http.ResponseWriter, _ *http.Request) { r.write(w) })
	return c.sendBy(t, t.Context(), c.Open(t, address), Text())
}

// sendBy sends, and reads the error for what must not be in it.
func (c Carrier) sendBy(t *testing.T, ctx context.Context, g gateway.Gateway, text gateway.Text) error {
	t.Helper()
	err := g.Send(ctx, text)
	if err == nil {
		return nil
	}
	said := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, marker := range []string{strings.TrimPrefix(Number, "+"), Code, "Marker Works", "555-0143", "login.example.test"} {
		if strings.Contains(said, marker) {
			t.Errorf("S-72: the error holds %q: %s", marker, said)
		}
	}
	for _, s := range c.Secrets {
		if strings.Contains(said, s.Reveal()) || strings.Contains(said, base64.StdEncoding.EncodeToString([]byte(s.Reveal()))) {
			t.Errorf("S-72: the error holds a secret: %s", said)
		}
	}
	if !strings.HasPrefix(err.Error(), g.Name()+": ") {
		t.Errorf("the error does not say whose it is: %v", err)
	}
	return err
}

func (c Carrier) secrets() string {
	var all []string
	for _, s := range c.Secrets {
		all = append(all, s.Reveal())
	}
	return strings.Join(all, " ")
}

func wantFailure(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, gateway.ErrRefused) {
		t.Errorf("%v, want an error that may pass by itself", err)
	}
}

// WantProblems tells a configuration's problems from what is wanted: each of the patterns, and no more of them.
func WantProblems(t *testing.T, err error, patterns ...string) {
	t.Helper()
	var lines []string
	if err != nil {
		lines = strings.Split(err.Error(), "\n")
	}
	if len(lines) != len(patterns) {
		t.Errorf("%d problems, want %d:\n%v", len(lines), len(patterns), err)
		return
	}
	for i, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Errorf("problem %d is %q, want one like %q", i+1, lines[i], pattern)
		}
	}
}
