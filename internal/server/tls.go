package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"latchkey.dev/internal/store"
)

// oldest is the oldest TLS that is spoken (RFC 8996 forbids what is older).
const oldest = tls.VersionTLS12

// Certificate serves https with a certificate from files, and with a new one soon after the files have
// changed. Broken files are an error at the start; later on the last good certificate stays.
func Certificate(cert, key string, log *slog.Logger) (*tls.Config, error) {
	f := &files{cert: cert, key: key, log: log, every: looking}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f.config(), nil
}

// looking is how often the files are looked at, at most.
const looking = 30 * time.Second

type files struct {
	cert, key string
	log       *slog.Logger
	every     time.Duration // between two looks at them

	mu      sync.Mutex
	held    *tls.Certificate
	of      [2]time.Time // when the files changed that held is from
	looked  time.Time
	refused string // what was complained about already
}

func (f *files) config() *tls.Config {
	return &tls.Config{MinVersion: oldest, GetCertificate: f.certificate}
}

func (f *files) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= f.every {
		f.looked = now
		f.look()
	}
	return f.held, nil
}

// look takes up files that changed. The two are not replaced in one instant, so that a pair that does not fit
// may be one that soon will.
func (f *files) look() {
	at, err := f.changed()
	if err == nil && at == f.of {
		return
	}
	if err == nil {
		if err = f.load(); err == nil {
			f.refused = ""
			f.log.Info("took up a new certificate", "file", f.cert)
			return
		}
	}
	if what := fmt.Sprint(at, err); what != f.refused {
		f.refused = what
		f.log.Error("the certificate cannot be read again; the last one stays", "error", err)
	}
}

func (f *files) load() error {
	at, err := f.changed()
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("the certificate %s with the key %s: %w", f.cert, f.key, err)
	}
	f.held, f.of, f.looked = &pair, at, time.Now()
	return nil
}

func (f *files) changed() (at [2]time.Time, err error) {
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

// An Authority is an ACME authority (RFC 8555), and what it is asked for.
type Authority struct {
	Origin    string // whose host the certificates are for
	Email     string
	Directory string // empty is Let's Encrypt
	Roots     string // a PEM file; empty are the system's
	Store     store.DB
	Log       *slog.Logger
}

// ACME serves https with certificates of an authority, which it gets when they are first needed and renews in
// time. Challenges are answered on the port that serves (TLS-ALPN-01, RFC 8737), by any node: all of it is in
// the database.
func ACME(a Authority) (*tls.Config, error) {
	u, err := url.Parse(a.Origin)
	if err != nil {
		return nil, err
	}
	if a.Directory == "" {
		a.Directory = acme.LetsEncryptURL
	}
	client := &acme.Client{DirectoryURL: a.Directory, UserAgent: "latchkey"}
	if a.Roots != "" {
		pem, err := os.ReadFile(a.Roots)
		if err != nil {
			return nil, fmt.Errorf("the roots of the ACME authority: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the roots of the ACME authority: no certificate in %s", a.Roots)
		}
		client.HTTPClient = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: oldest},
		}}
	}
	m := &autocert.Manager{
		Prompt:     autocert.AcceptTOS, // the operator did, in the configuration
		Cache:      shelf{a.Store},
		HostPolicy: autocert.HostWhitelist(u.Hostname()),
		Client:     client,
		Email:      a.Email,
	}
	c := m.TLSConfig()
	c.MinVersion = oldest
	get := c.GetCertificate
	var said atomic.Value // once for each thing that goes wrong, for whoever connects tries again and again
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := get(hello)
		if err != nil && hello.ServerName == u.Hostname() && said.Swap(err.Error()) != err.Error() { // other names are scanners
			a.Log.Error("no certificate", "host", hello.ServerName, "error", err)
		}
		return pair, err
	}
	return c, nil
}

// A shelf is autocert's cache in our database.
type shelf struct{ store store.DB }

func (s shelf) Get(ctx context.Context, name string) (data []byte, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		data, err = tx.Certificate(ctx, name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, autocert.ErrCacheMiss
	}
	return data, err
}

func (s shelf) Put(ctx context.Context, name string, data []byte) error {
	return s.store.Update(ctx, func(tx store.Tx) error { return tx.PutCertificate(ctx, name, data) })
}

func (s shelf) Delete(ctx context.Context, name string) error {
	return s.store.Update(ctx, func(tx store.Tx) error { return tx.DropCertificate(ctx, name) })
}
