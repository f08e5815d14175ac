// Package acme lets a server get its certificate from a real ACME authority, Pebble, which looks the name up in
// a DNS of ours and asks the server itself whether it is who it says (TLS-ALPN-01, RFC 8737).
package acme

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

const (
	name     = "id.latchkey.test"
	binary   = "../../bin/latchkey"
	patience = time.Minute
)

func TestACertificateComesFromAnAuthorityAndOutlivesTheProcess(t *testing.T) {
	if _, err := os.Stat(binary); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("bin/latchkey is not built: run make build")
		}
		t.Skip("bin/latchkey is not built: run make build")
	}
	port := free(t)
	a := newAuthority(t, port)
	dir := t.TempDir()
	config := write(t, dir, "latchkey.yaml", fmt.Sprintf(`origin: https://%s:%d
listen: 127.0.0.1:%d
data: %s
countries: []
keys: {master: [{file: %s}]}
tls: {acme: {accept_terms: true, email: ops@latchkey.test, directory: %s, roots: %s}}
`, name, port, port, filepath.Join(dir, "data"), write(t, dir, "master.key", masterKey()), a.directory, a.roots))

	first := begin(t, config)
	was := visit(t, a, port, first)
	first.end(t)
	// Another process finds it in the database, where it is sealed, and needs no authority for it.
	a.server.Close()
	if is := visit(t, a, port, begin(t, config)); !is.Equal(was) {
		t.Errorf("after a restart the certificate is %s, was %s", is.SerialNumber, was.SerialNumber)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "data", "latchkey.db"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(kept, []byte("PRIVATE KEY")) {
		t.Error("the private key is in the database as it is")
	}
}

// visit asks for the health until it is told, and returns the certificate that vouched for it.
func visit(t *testing.T, a *authority, port int, p *process) *x509.Certificate {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.trusted, ServerName: name},
	}}
	defer client.CloseIdleConnections()
	var last error
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		request, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/healthz", port), nil)
		request.Host = fmt.Sprintf("%s:%d", name, port)
		response, err := client.Do(request)
		if last = err; err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("health is %s", response.Status)
		}
		return response.TLS.PeerCertificates[0]
	}
	t.Fatalf("no https: %v\n%s", last, p)
	return nil
}

// An authority is Pebble and the DNS that it asks.
type authority struct {
	server    *httptest.Server
	directory string
	roots     string // of its own address
	trusted   *x509.CertPool
}

func newAuthority(t *testing.T, port int) *authority {
	quiet := log.New(io.Discard, "", 0)
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	memory := db.NewMemoryStore()
	issuer := ca.New(quiet, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	checker := va.New(quiet, port, port, false, nameserver(t), memory)
	front := wfe.New(quiet, memory, checker, issuer, []string{"latchkey.test"}, false, false, 1, 1)
	a := &authority{server: httptest.NewTLSServer(front.Handler()), trusted: x509.NewCertPool()}
	t.Cleanup(a.server.Close)
	a.directory = a.server.URL + wfe.DirectoryPath
	a.roots = write(t, t.TempDir(), "roots.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})))
	a.trusted.AddCert(issuer.GetRootCert(0).Cert)
	return a
}

// nameserver says that every name is this machine. Pebble asks over TCP.
func nameserver(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		if q := question.Question[0]; q.Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return listener.Addr().String()
}

// A process is a latchkey serve.
type process struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func begin(t *testing.T, config string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, "serve", "--config", config)}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

func (p *process) end(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("ended with %v\n%s", err, p)
	}
}

func masterKey() string {
	key := make([]byte, 32)
	rand.Read(key)
	return base64.StdEncoding.EncodeToString(key) + "\n"
}

func write(t *testing.T, dir, file, text string) string {
	t.Helper()
	path := filepath.Join(dir, file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func free(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
