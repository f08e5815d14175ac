package smtp

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/gateway"
)

const password = "marker-password"

// A server speaks as much SMTP as we do.
type server struct {
	listener net.Listener
	tls      *tls.Config // offered by STARTTLS
	first    bool        // TLS from the first byte
	rcpt     string      // the answer to RCPT; 250 if empty
	mu       sync.Mutex
	talks    []string // what was said, and the mail
	secure   bool     // the last mail came over TLS
}

func serve(t *testing.T, s *server) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listener = l
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.talk(conn) })
		}
	})
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}

func (s *server) talk(conn net.Conn) {
	defer func() { conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewScanner(conn)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	secure := s.first
	if secure {
		conn = tls.Server(conn, s.tls)
		in = bufio.NewScanner(conn)
	}
	say("220 mail.example ESMTP")
	for in.Scan() {
		line := in.Text()
		s.heard(line)
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "EHLO":
			say("250-mail.example")
			if s.tls != nil && !secure {
				say("250-STARTTLS")
			} else {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn, secure = tls.Server(conn, s.tls), true
			in = bufio.NewScanner(conn)
		case "AUTH":
			if !strings.Contains(line, base64.StdEncoding.EncodeToString([]byte("\x00latchkey\x00"+password))) {
				say("535 no")
				continue
			}
			say("235 yes")
		case "RCPT":
			if s.rcpt != "" {
				say(s.rcpt)
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			for in.Scan() && in.Text() != "." {
				s.heard(in.Text())
			}
			s.mu.Lock()
			s.secure = secure
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *server) heard(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talks = append(s.talks, line)
}

func (s *server) said() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.talks, "\n"), s.secure
}

func mailText() gateway.Text {
	return gateway.Text{ID: "msg4TestOnce", Channel: "email", To: "ada@acme.example", Body: "Your password was changed\n\nHello Ada, grüße.\n"}
}

func open(t *testing.T, change func(*Config)) *Gateway {
	t.Helper()
	c := Config{Host: "127.0.0.1", From: "Acme Sign-in <no-reply@acme.example>", Now: func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }}
	change(&c)
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// certificates are those of a test server of the standard library, for 127.0.0.1.
func certificates(t *testing.T) (theirs, ours *tls.Config) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

func TestAMailIsHandedOver(t *testing.T) {
	theirs, ours := certificates(t)
	s := &server{tls: theirs}
	_, port := serve(t, s)
	g := open(t, func(c *Config) { c.Port, c.trust, c.Username, c.Password = port, ours, "latchkey", password })
	if err := g.Send(t.Context(), mailText()); err != nil {
		t.Fatal(err)
	}
	said, secure := s.said()
	if !secure {
		t.Error("not over TLS, which was offered")
	}
	for _, want := range []string{"MAIL FROM:<no-reply@acme.example>", "RCPT TO:<ada@acme.example>", "Subject: Your password was changed",
		`From: "Acme Sign-in" <no-reply@acme.example>`, "Message-ID: <msg4TestOnce@acme.example>", "Date: Wed, 04 Mar 2026 05:06:07 +0000",
		"Auto-Submitted: auto-generated", "Hello Ada, gr=C3=BC=C3=9Fe."} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
}

func TestTLSFirst(t *testing.T) {
	theirs, ours := certificates(t)
	s := &server{first: true, tls: theirs}
	_, port := serve(t, s)
	if err := open(t, func(c *Config) { c.Port, c.TLS, c.trust = port, true, ours }).Send(t.Context(), mailText()); err != nil {
		t.Fatal(err)
	}
	if _, secure := s.said(); !secure {
		t.Error("not over TLS")
	}
	if err := open(t, func(c *Config) { c.Port, c.TLS = port, true }).Send(t.Context(), mailText()); err == nil {
		t.Error("a certificate that nobody vouches for was taken")
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		rcpt    string
		text    func(*gateway.Text)
		refused bool
	}{
		"nobody there":      {rcpt: "550 no such user ada@acme.example", refused: true},
		"a full box":        {rcpt: "452 ada@acme.example is full"},
		"no address":        {text: func(x *gateway.Text) { x.To = "ada at acme" }, refused: true},
		"two addresses":     {text: func(x *gateway.Text) { x.To = "ada@acme.example, eve@evil.example" }, refused: true},
		"a line too many":   {text: func(x *gateway.Text) { x.To = "ada@acme.example>\r\nRCPT TO:<eve@evil.example" }, refused: true},
		"a text message":    {text: func(x *gateway.Text) { x.Channel = "sms" }},
		"a wrong password":  {},
		"nobody is at home": {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &server{rcpt: test.rcpt}
			_, port := serve(t, s)
			text := mailText()
			if test.text != nil {
				test.text(&text)
			}
			g := open(t, func(c *Config) {
				c.Port = port
				if name == "a wrong password" {
					c.Username, c.Password = "latchkey", "another"
				}
			})
			if name == "nobody is at home" {
				s.listener.Close()
			}
			err := g.Send(t.Context(), text)
			if err == nil || errors.Is(err, gateway.ErrRefused) != test.refused {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), "ada") || strings.Contains(err.Error(), "password was changed") {
				t.Errorf("S-72: the error says %v", err)
			}
			if said, _ := s.said(); strings.Contains(said, "eve@") {
				t.Errorf("somebody else was written to:\n%s", said)
			}
		})
	}
}

func TestElsewhereNothingGoesInTheClear(t *testing.T) {
	s := &server{}
	_, port := serve(t, s)
	g := open(t, func(c *Config) { c.Port, c.strict = port, true })
	if err := g.Send(t.Context(), mailText()); err == nil || !strings.Contains(err.Error(), "no TLS") {
		t.Errorf("%v", err)
	}
	if said, _ := s.said(); strings.Contains(said, "ada") {
		t.Errorf("said in the clear:\n%s", said)
	}
}

func TestCheckNamesEveryProblem(t *testing.T) {
	err := Config{Host: "a:b", Port: -1, Username: "x", From: "nobody"}.Check()
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("%v", err)
	}
}
