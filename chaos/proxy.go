//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy is a load balancer of the plainest kind: request by request it goes round the nodes that say they are
// well. A request that could not be handed over goes to the next node; one that was, and whose answer
// did not come, is 502, for nobody knows what became of it.
type proxy struct {
	addr    string
	server  *http.Server
	watch   context.CancelFunc
	line    *http.Transport
	turn    atomic.Uint64
	mu      sync.Mutex
	nodes   []*backend
	refused atomic.Int64 // answered 502 here
}

type backend struct {
	addr string
	well atomic.Bool
}

// How often the nodes are asked how they are, and how long they may take to say.
const (
	watchEvery = 250 * time.Millisecond
	watchLimit = time.Second
)

// lostHeader marks answers that are the proxy's own: the request was handed over and nobody knows its end.
const lostHeader = "X-Chaos-Lost"

func newProxy(addr string) (*proxy, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: l.Addr().String(), line: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 256,
		DisableCompression:  true,
	}}
	var ctx context.Context
	ctx, p.watch = context.WithCancel(context.Background())
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: &httputil.ReverseProxy{
		// The Host stays: it is the origin's, which is what the nodes go by.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
		},
		Transport: p,
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			p.refused.Add(1)
			w.Header().Set(lostHeader, "1")
			w.WriteHeader(http.StatusBadGateway)
		},
	}}
	go p.server.Serve(l)
	go p.watching(ctx)
	return p, nil
}

func (p *proxy) close() {
	p.watch()
	_ = p.server.Close()
	p.line.CloseIdleConnections()
}

func (p *proxy) add(addr string) {
	b := &backend{addr: addr}
	b.well.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = append(p.nodes, b)
}

func (p *proxy) all() []*backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nodes
}

func (p *proxy) watching(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		for _, b := range p.all() {
			b.well.Store(p.healthy(ctx, b))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *proxy) healthy(ctx context.Context, b *backend) bool {
	ctx, done := context.WithTimeout(ctx, watchLimit)
	defer done()
	status, _, err := p.ask(ctx, b.addr, "/readyz")
	return err == nil && status == http.StatusOK
}

// ask gets a page of one node, by the name that all nodes share.
func (p *proxy) ask(ctx context.Context, node, path string) (int, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node+path, nil)
	if err != nil {
		return 0, nil, err
	}
	r.Host = p.addr
	a, err := p.line.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer a.Body.Close()
	_, err = io.Copy(io.Discard, a.Body)
	return a.StatusCode, a.Header, err
}

// RoundTrip hands a request to the node whose turn it is.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	nodes, turn := p.all(), p.turn.Add(1)
	err := errors.New("no node is there")
	for _, mustBeWell := range []bool{true, false} { // if none says it is well, one of them has to say so to the client
		for i := range nodes {
			b := nodes[(int(turn)+i)%len(nodes)]
			if b.well.Load() != mustBeWell {
				continue
			}
			out := r.Clone(r.Context())
			out.URL = &url.URL{Scheme: "http", Host: b.addr, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
			out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			var a *http.Response
			a, err = p.line.RoundTrip(out)
			if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
				b.well.Store(false)
				continue // nothing was handed over
			}
			return a, err
		}
	}
	return nil, err
}
