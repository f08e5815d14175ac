package kannel

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
)

// TestRealKannel sends through the boxes of Debian's kannel to the carrier in its kannel-extras.
func TestRealKannel(t *testing.T) {
	reports := make(chan url.Values, 10)
	k := start(t)
	c := config("")
	c.URL, c.From, c.SMSC = k.url, "Acme", "carrier-1"
	c.DLRURL = gatewaytest.Serve(t, func(_ http.ResponseWriter, r *http.Request) { reports <- r.URL.Query() }) + "/dlr?id={id}&status=%d"
	c.Now = time.Now
	open := func(change func(*Config)) *Gateway {
		c := c
		change(&c)
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := open(func(*Config) {})
	text := gatewaytest.Text()
	text.NotAfter = time.Now().Add(5 * time.Minute)

	t.Run("a text arrives, and is reported", func(t *testing.T) {
		text := text
		text.Body = "Grüße: 739182 {5 €}\n\n@login.example.test #739182"
		send(t, g, text, nil)
		k.wantCarried(t, "Acme "+gatewaytest.Number+" text "+text.Body.Reveal())
		select {
		case r := <-reports:
			if r.Get("id") != text.ID || r.Get("status") != "1" {
				t.Errorf("reported %v, want %s delivered", r, text.ID)
			}
		case <-time.After(patience):
			t.Error("no report")
		}
	})
	t.Run("in any alphabet", func(t *testing.T) {
		text := text
		text.Body = "Код 739182 ☺😀"
		send(t, g, text, nil)
		var escaped strings.Builder
		for _, unit := range utf16.Encode([]rune(text.Body.Reveal())) {
			escaped.WriteString(url.QueryEscape(string([]byte{byte(unit >> 8), byte(unit)})))
		}
		k.wantCarried(t, "Acme "+gatewaytest.Number+" ucs-2 "+escaped.String())
	})
	t.Run("a number that no carrier takes is refused", func(t *testing.T) {
		text := text
		text.To = "+88255501430"
		send(t, g, text, gateway.ErrRefused)
	})
	t.Run("a wrong password is no refusal", func(t *testing.T) {
		err := open(func(c *Config) { c.Password = "wrong" }).Send(t.Context(), text)
		if err == nil || errors.Is(err, gateway.ErrRefused) || !strings.Contains(err.Error(), "403: Authorization failed") {
			t.Errorf("%v", err)
		}
	})
	t.Run("without a carrier it is queued, and arrives when one comes", func(t *testing.T) {
		k.carrier.stop()
		text := text
		text.Body = "739182 is late"
		send(t, g, text, nil)
		k.carrier = k.newCarrier(t)
		k.wantCarried(t, "Acme "+gatewaytest.Number+" text 739182 is late")
	})
}

func send(t *testing.T, g *Gateway, text gateway.Text, want error) {
	t.Helper()
	if err := g.Send(t.Context(), text); !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
}

const patience = 20 * time.Second

const (
	bearerbox = "/usr/sbin/bearerbox"
	smsbox    = "/usr/sbin/smsbox"
	fakesmsc  = "/usr/lib/kannel/test/fakesmsc"
)

// boxes are a running Kannel with one carrier.
type boxes struct {
	url     string
	port    int // of the connection for the carrier
	bearer  *process
	carrier *process
}

// start starts Kannel on ports that are free now.
func start(t *testing.T) *boxes {
	t.Helper()
	for _, program := range []string{bearerbox, smsbox, fakesmsc} {
		if _, err := os.Stat(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: tools/need kannel installs it", program)
			}
			t.Skipf("%s is missing (Debian: kannel kannel-extras)", program)
		}
	}
	for range 3 { // somebody else may take a port between our looking and Kannel's
		if k := try(t, freePorts(t, 4)); k != nil {
			return k
		}
	}
	t.Fatal("Kannel does not start")
	return nil
}

// try starts Kannel on four ports; nil if it does not stay.
func try(t *testing.T, ports []int) *boxes {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "kannel.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, settings, ports[0], ports[1], ports[2], ports[3], password.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &boxes{url: fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms", ports[3]), port: ports[2]}
	k.bearer = run(t, bearerbox, conf)
	if !k.bearer.says("Start-up done") || !k.bearer.answers(ports[1]) {
		return nil
	}
	k.carrier = k.newCarrier(t)
	// The smsbox answers before it knows its users, and does not survive it.
	if !run(t, smsbox, conf).says("Connected to bearerbox") {
		return nil
	}
	return k
}

// settings have one connection, to a carrier that takes no satellite phones (+882). They listen on loopback,
// except for that connection: its type has no setting for it, and lets nobody in from elsewhere.
const settings = `group = core
admin-port = %d
admin-interface = 127.0.0.1
admin-password = nobody
smsbox-port = %d
smsbox-interface = 127.0.0.1

group = smsc
smsc = fake
smsc-id = carrier-1
port = %d
connect-allow-ip = 127.0.0.1
denied-prefix = "+882"

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = %d
sendsms-interface = 127.0.0.1

group = sendsms-user
username = latchkey
password = "%s"
concatenation = true
max-messages = 3

group = sms-service
keyword = default
text = "nobody reads this"
`

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // only now, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// newCarrier connects a carrier, and returns when Kannel has taken it.
func (k *boxes) newCarrier(t *testing.T) *process {
	t.Helper()
	before := k.bearer.log()
	p := run(t, fakesmsc, "-H", "127.0.0.1", "-r", fmt.Sprint(k.port), "-m", "0", "1 2 text it sends nothing itself")
	if !k.bearer.await(func(log string) bool { return strings.Contains(log[len(before):], "Fakesmsc client connected") }) {
		t.Fatal("the carrier did not connect")
	}
	return p
}

// wantCarried waits until the carrier says that it got a message. It ends messages at line breaks, so that one
// of several lines is several to it.
func (k *boxes) wantCarried(t *testing.T, want string) {
	t.Helper()
	got := func(log string) string {
		var all strings.Builder
		for line := range strings.Lines(log) {
			if _, message, ok := strings.Cut(line, "Got message "); ok {
				_, message, _ = strings.Cut(message, "<")
				all.WriteString(strings.TrimSuffix(message, ">\n") + "\n")
			}
		}
		return all.String()
	}
	if !k.carrier.await(func(log string) bool { return strings.Contains(got(log), want+"\n") }) {
		t.Fatalf("the carrier got\n%s, want\n%s", got(k.carrier.log()), want)
	}
}

// A process is one that we started, and end.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when all it wrote was read

	mu      sync.Mutex
	wrote   strings.Builder
	changed chan struct{} // closed at the next line
}

// run starts a program and reads its log.
func run(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			p.mu.Lock()
			p.wrote.WriteString(lines.Text() + "\n")
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
	}()
	return p
}

// stop ends the process and waits for the end. It holds nothing that anybody would want to keep.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.cmd.Wait()
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrote.String()
}

// says waits until the log holds some words.
func (p *process) says(words string) bool {
	return p.await(func(log string) bool { return strings.Contains(log, words) })
}

// await waits until the log is as it should be; false if it does not come to that.
func (p *process) await(done func(log string) bool) bool {
	for late := time.After(patience); ; {
		p.mu.Lock()
		log, changed := p.wrote.String(), p.changed
		p.mu.Unlock()
		if done(log) {
			return true
		}
		select {
		case <-changed:
		case <-p.ended:
			return done(p.log())
		case <-late:
			return false
		}
	}
}

// answers waits until somebody answers at a port; false if the process ended instead.
func (p *process) answers(port int) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-p.ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}
