package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"latchkey.dev/internal/limit"
)

// The numbers of S-50 and S-78.
const (
	headerTime = 10 * time.Second
	readTime   = 15 * time.Second
	writeTime  = 30 * time.Second
	idleTime   = 60 * time.Second
	neighbours = 200              // connections from one source
	guests     = 10_000           // connections in all: what they hold is bounded by that
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
	l = Crowd(l, s.proxy, cmp.Or(s.Neighbours, neighbours), cmp.Or(s.Connections, guests))
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

// Crowd limits how many connections there are, and how many of them one source may hold (S-50): an IPv4
// address, or an IPv6 network. Those that many people share for good reason, our own proxies, are exempt from
// the second. What is too many is closed: there is nobody yet to be told why.
func Crowd(l net.Listener, exempt func(netip.Addr) bool, each, all int) net.Listener {
	return &crowd{Listener: l, exempt: exempt, each: each, all: all, by: map[netip.Addr]int{}}
}

type crowd struct {
	net.Listener
	exempt    func(netip.Addr) bool
	each, all int
	mu        sync.Mutex
	held      int
	by        map[netip.Addr]int
}

func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var addr netip.Addr // zero: not counted by source
		if peer, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && !c.exempt(peer.Addr().Unmap()) {
			addr = limit.SourceOf(peer.Addr())
		}
		if c.enter(addr) {
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { c.leave(addr) })}, nil
		}
		conn.Close()
	}
}

func (c *crowd) enter(a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held >= c.all || a.IsValid() && c.by[a] >= c.each {
		return false
	}
	c.held++
	c.by[a]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
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
