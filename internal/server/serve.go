package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// The numbers of S-50 and S-78.
const (
	headerTime = 10 * time.Second
	readTime   = 15 * time.Second
	writeTime  = 30 * time.Second
	idleTime   = 60 * time.Second
	neighbours = 200              // connections from one address
	finishing  = 20 * time.Second // for the requests that run when we stop
)

// HTTP is an http.Server that runs the house by its numbers; TLS and listener are the caller's.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		// Twice what we allow: what is a little too large gets our answer in JSON, and not net/http's.
		MaxHeaderBytes:               2 * maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // broken clients are no events
	}
}

// Serve answers on a listener until ctx ends. Then it says that it is not ready, lingers, takes nothing
// new, and returns when the last answer is out or 20 seconds have passed (S-78). With a nil config it
// speaks http.
func (s *Server) Serve(ctx context.Context, l net.Listener, t *tls.Config, linger time.Duration) error {
	h := s.HTTP()
	h.TLSConfig = t
	l = Crowd(l, s.proxy)
	failed := make(chan error, 1)
	go func() {
		if t == nil {
			failed <- h.Serve(l)
		} else {
			failed <- h.ServeTLS(l, "", "")
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.stop()
	time.Sleep(linger)
	late, done := context.WithTimeout(context.WithoutCancel(ctx), finishing)
	defer done()
	if err := h.Shutdown(late); err != nil {
		return errors.Join(err, h.Close())
	}
	return nil
}

// Crowd limits how many connections one address may hold (S-50). Those that many people share for good
// reason, our own proxies, are exempt.
func Crowd(l net.Listener, exempt func(netip.Addr) bool) net.Listener {
	return &crowd{Listener: l, exempt: exempt, by: map[netip.Addr]int{}}
}

type crowd struct {
	net.Listener
	exempt func(netip.Addr) bool
	mu     sync.Mutex
	by     map[netip.Addr]int
}

func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil || c.exempt(peer.Addr().Unmap()) {
			return conn, nil
		}
		if addr := peer.Addr().Unmap(); c.enter(addr) {
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { c.leave(addr) })}, nil
		}
		conn.Close()
	}
}

func (c *crowd) enter(a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[a] >= neighbours {
		return false
	}
	c.by[a]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[a]--; c.by[a] == 0 {
		delete(c.by, a)
	}
}

type guest struct {
	net.Conn
	leave func()
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
