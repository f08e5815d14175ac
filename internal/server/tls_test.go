package server

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair writes a certificate with a number and its key, changed at a time of their own: a disk's clock is coarse.
func pair(t *testing.T, dir string, number int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, number, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})))
	write(t, key, number, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	return cert, key
}

func write(t *testing.T, path string, number int64, text string) {
	t.Helper()
	at := time.Unix(1_700_000_000+number, 0)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestANewCertificateIsTakenUpAndABrokenOneIsNot(t *testing.T) {
	dir, log := t.TempDir(), &bytes.Buffer{}
	cert, key := pair(t, dir, 1)
	f := &files{cert: cert, key: key, log: slog.New(slog.NewTextHandler(log, nil))}
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	serves := func(number int64) {
		t.Helper()
		held, err := f.certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if held.Leaf.SerialNumber.Int64() != number {
			t.Errorf("serves number %d, want %d", held.Leaf.SerialNumber, number)
		}
	}
	serves(1)
	pair(t, dir, 2)
	serves(2)
	write(t, cert, 3, "half of a certif")
	serves(2)
	serves(2)
	if n := strings.Count(log.String(), "cannot be read again"); n != 1 {
		t.Errorf("complained %d times, want once: %s", n, log)
	}
	pair(t, dir, 4)
	serves(4)
}

func TestFilesThatAreNoCertificateRefuseToStart(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, dir, 1)
	write(t, key, 1, "no key")
	if _, err := Certificate(cert, key, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("said %v", err)
	}
	if _, err := Certificate(filepath.Join(dir, "none"), key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("took a certificate that is not there")
	}
}

// TestCertificatesAreRenewedUnderARunningServer: connections that are open go on, new ones get what is in the files, and a
// pair that is broken changes nothing.
func TestCertificatesAreRenewedUnderARunningServer(t *testing.T) {
	dir, log := t.TempDir(), &bytes.Buffer{}
	cert, key := pair(t, dir, 1)
	f := &files{cert: cert, key: key, log: slog.New(slog.NewTextHandler(log, nil))} // looked at by every handshake
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", f.config())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "well") })}
	go srv.Serve(l)
	defer srv.Close()
	dial := func() *tls.Conn {
		t.Helper()
		// Who signed it is not what this is about.
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	serves := func(c *tls.Conn, number int64) {
		t.Helper()
		if got := c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != number {
			t.Errorf("the certificate is number %d, want %d", got, number)
		}
		if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if text, err := io.ReadAll(a.Body); err != nil || string(text) != "well" {
			t.Errorf("it says %q, %v", text, err)
		}
	}
	first := dial()
	serves(first, 1)
	pair(t, dir, 2)
	serves(dial(), 2)
	serves(first, 1)
	if !strings.Contains(log.String(), "took up a new certificate") {
		t.Errorf("of a new certificate the log says %s", log)
	}

	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for what, broken := range map[string]func(number int64){
		"the key of another":  func(n int64) { pair(t, dir, n); write(t, key, n, string(good)) },
		"half a key":          func(n int64) { write(t, key, n, string(good[:len(good)/2])) },
		"no certificate":      func(n int64) { write(t, cert, n, "") },
		"a file that is gone": func(int64) { os.Remove(cert) },
	} {
		pair(t, dir, 2)
		serves(dial(), 2)
		log.Reset()
		broken(7)
		serves(dial(), 2)
		if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), cert) {
			t.Errorf("%s: the log says %q", what, log)
		}
	}
	pair(t, dir, 9)
	serves(dial(), 9)
}
