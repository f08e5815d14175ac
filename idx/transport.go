package idx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxBody = 1 << 20          // no IDX document comes near it
	maxWait = 30 * time.Second // for one request, from dialling to the last byte
	ionJSON = "application/ion+json; okta-version=1.0.0"
)

// A request is one HTTP request that the client means to make.
type request struct {
	op      string
	method  string
	url     *url.URL
	header  http.Header
	body    []byte
	read    bool     // changes nothing, so it may be tried again
	secrets []string // must not show up in an error
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes the request, and makes it again if it only reads and the trouble may pass.
func (c *Client) send(ctx context.Context, r request) (*answer, error) {
	for attempt := 1; ; attempt++ {
		a, err := c.try(ctx, r)
		if !r.read || attempt >= c.core.attempts || !passing(ctx, a, err) {
			return a, err
		}
		pause := c.pause(attempt)
		if a != nil {
			if asked := c.retryAfter(a.header); asked > c.core.ceiling {
				return a, err
			} else if asked > 0 {
				pause = asked
			}
		}
		if sleep(ctx, pause) != nil {
			return a, err
		}
	}
}

func passing(ctx context.Context, a *answer, err error) bool {
	var tooBig *ServerError
	if err != nil {
		// A request that used up its time has kept the person waiting long enough.
		return ctx.Err() == nil && !errors.As(err, &tooBig) && !errors.Is(err, context.DeadlineExceeded)
	}
	switch a.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pause doubles from 250 ms and is spread, so that clients that failed together do not come back together.
func (c *Client) pause(attempt int) time.Duration {
	d := 250 * time.Millisecond << min(attempt-1, 10)
	d = d/2 + rand.N(d/2+1)
	return min(d, c.core.ceiling)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (c *Client) try(ctx context.Context, r request) (*answer, error) {
	began := c.core.now()
	a, err := c.exchange(ctx, r)
	attrs := []slog.Attr{slog.String("op", clip(r.op)), slog.Duration("took", c.core.now().Sub(began))}
	if err != nil {
		c.core.log.LogAttrs(ctx, slog.LevelWarn, "idx request failed", append(attrs, slog.String("error", err.Error()))...)
		return nil, err
	}
	c.core.log.LogAttrs(ctx, slog.LevelDebug, "idx request", append(attrs,
		slog.Int("status", a.status), slog.String("request_id", requestID(a.header)))...)
	return a, nil
}

func (c *Client) exchange(parent context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(parent, maxWait)
	defer cancel()
	var way sending
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, way.trace()), r.method, r.url.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, &transportError{op: r.op, err: err, text: "the request cannot be built", unsent: true}
	}
	c.user.speak(req.Header)
	for name, values := range r.header {
		req.Header[name] = values
	}
	failed := func(err error) error {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // what it adds is the address, query and all
		}
		return &transportError{op: r.op, err: err, text: scrub(err.Error(), r.secrets), unsent: way.unsent()}
	}
	if parent.Err() != nil {
		return nil, &transportError{op: r.op, err: parent.Err(), text: parent.Err().Error(), unsent: true}
	}
	resp, err := c.core.http.Do(req)
	if err != nil {
		return nil, failed(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, failed(err)
	}
	if len(body) > maxBody {
		return nil, &ServerError{Op: r.op, Code: "response_too_large", Status: resp.StatusCode,
			Summary: fmt.Sprintf("the answer is over %d bytes", maxBody), RequestID: requestID(resp.Header)}
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// sending follows a request far enough to know whether a single byte of it can have left.
type sending struct{ asked, connected atomic.Bool }

func (s *sending) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { s.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { s.connected.Store(true) },
	}
}

// unsent is certain only if the transport reports what it does and never got a connection. One that reports nothing,
// such as an in-process handler, may have delivered.
func (s *sending) unsent() bool { return s.asked.Load() && !s.connected.Load() }

// retryAfter reads both forms of Retry-After (RFC 9110 10.2.3), and the moment Okta gives instead.
func (c *Client) retryAfter(h http.Header) time.Duration {
	until := func(t time.Time) time.Duration { return max(0, t.Sub(c.core.now())) }
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(min(n, 24*60*60)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return until(t)
	}
	if n, err := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64); err == nil && h.Get("X-Rate-Limit-Remaining") == "0" {
		return until(time.Unix(n, 0))
	}
	return 0
}

func requestID(h http.Header) string {
	for _, name := range []string{"X-Okta-Request-Id", "X-Request-Id"} {
		if v := h.Get(name); v != "" {
			return clip(v)
		}
	}
	return ""
}

// failure reads an answer that is no IDX document, in whichever of the three dialects it is written.
func (c *Client) failure(r request, a *answer) *ServerError {
	e := &ServerError{Op: r.op, Status: a.status, RequestID: requestID(a.header), RetryAfter: c.retryAfter(a.header)}
	var said struct {
		Error, ErrorCode, ErrorSummary, Message string
		Description                             string `json:"error_description"`
	}
	switch err := json.Unmarshal(a.body, &said); {
	case a.status >= 300 && a.status < 400:
		e.Summary = "the answer is a redirect, which is not followed"
	case err != nil:
		e.Summary = "the answer is no document of this protocol"
	case said.ErrorCode != "":
		e.Code, e.Summary = said.ErrorCode, said.ErrorSummary
	case said.Error != "":
		e.Code, e.Summary = said.Error, said.Description
		if e.Summary == "" {
			e.Summary = said.Message
		}
	default:
		e.Summary = "the answer is no document of this protocol"
	}
	e.Code, e.Summary = scrub(e.Code, r.secrets), scrub(e.Summary, r.secrets)
	return e
}
