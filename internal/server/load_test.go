package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"latchkey.dev/internal/limit"
)

func TestS85_WhoHasBegunGoesBeforeWhoWouldBegin(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Requests = 8 })
	hold, held := make(chan struct{}), make(chan struct{})
	r.faces["/idp/idx/challenge"] = func(http.ResponseWriter, *http.Request) {
		held <- struct{}{}
		<-hold
	}
	done := make(chan int, 8)
	one := func() { // more: it must be let in
		go func() { done <- r.do(request("POST", "/idp/idx/challenge")).StatusCode }()
		<-held
	}
	for range 6 {
		one()
	}
	if r.Crowded() {
		t.Error("crowded with six of eight")
	}
	// Six of eight are taken: the rest is not for those who begin.
	for _, path := range []string{"/oauth2/default/v1/interact", "/oauth2/default/v1/authorize", "/login/begin"} {
		got := r.do(request("POST", path))
		if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
	for _, path := range []string{"/idp/idx/identify", "/oauth2/default/v1/token", "/login/token/redirect", "/healthz"} {
		if got := r.do(request("GET", path)); got.StatusCode != 200 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	one()
	one()
	if !r.Crowded() {
		t.Error("not crowded with eight of eight")
	}
	wantRefusal(t, r.do(request("POST", "/idp/idx/identify")), 503, "/idp/idx/identify", "errors.E0000010")
	if got := r.do(request("GET", "/healthz")); got.StatusCode != 200 {
		t.Errorf("health: %d", got.StatusCode)
	}
	close(hold)
	for range 8 {
		if got := <-done; got != 200 {
			t.Errorf("who was let in got %d", got)
		}
	}
	if got := r.do(request("POST", "/oauth2/default/v1/interact")); got.StatusCode != 200 {
		t.Errorf("afterwards: %d", got.StatusCode)
	}
}

func TestS85_NobodyBeginsWhilePasswordsWait(t *testing.T) {
	busy := true
	r := newRig(t, func(c *Config) { c.Busy = func() bool { return busy } })
	if got := r.do(request("POST", "/oauth2/default/v1/interact")); got.StatusCode != 503 || !r.Crowded() {
		t.Errorf("interact: %d", got.StatusCode)
	}
	for _, path := range []string{"/idp/idx/identify", "/idp/idx/challenge/answer", "/oauth2/default/v1/token"} {
		if got := r.do(request("POST", path)); got.StatusCode != 200 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	busy = false
	if got := r.do(request("POST", "/oauth2/default/v1/interact")); got.StatusCode != 200 {
		t.Errorf("interact afterwards: %d", got.StatusCode)
	}
}

func TestS52_ASourceThatAsksTooMuch(t *testing.T) {
	var counted []string
	left := 2
	r := newRig(t, func(c *Config) {
		c.Count = func(_ context.Context, source string) (limit.Reading, error) {
			counted = append(counted, source)
			left--
			return limit.Reading{OK: left >= 0, Limit: 600, Reset: 41500 * time.Millisecond}, nil
		}
	})
	from := func(path, address string) *http.Response {
		req := request("POST", path)
		req.RemoteAddr = address
		return r.do(req)
	}
	from("/idp/idx/identify", "192.0.2.1:99")
	from("/oauth2/default/v1/token", "192.0.2.1:99") // is not IDX
	from("/idp/idx/identify", "[2001:db8::1:2:3:4]:99")
	if got := counted; len(got) != 2 || got[0] != "192.0.2.1" || got[1] != "2001:db8::" {
		t.Errorf("counted %v", got)
	}
	got := from("/idp/idx/identify", "192.0.2.1:99")
	reset, err := strconv.ParseInt(got.Header.Get("X-Rate-Limit-Reset"), 10, 64)
	if got.StatusCode != 429 || got.Header.Get("Retry-After") != "42" || got.Header.Get("X-Rate-Limit-Limit") != "600" ||
		got.Header.Get("X-Rate-Limit-Remaining") != "0" || err != nil || reset < time.Now().Unix()+30 || reset > time.Now().Unix()+50 {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	var doc struct {
		Version      string
		ErrorCode    string
		ErrorSummary string
		ErrorID      string
		ErrorCauses  []string
		Messages     struct {
			Value []struct{ I18n struct{ Key string } }
		}
	}
	if err := json.NewDecoder(got.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc.Version != "1.0.0" || doc.ErrorCode != "E0000047" || doc.ErrorSummary == "" || doc.ErrorID == "" || doc.ErrorCauses == nil ||
		len(doc.Messages.Value) != 1 || doc.Messages.Value[0].I18n.Key != "tooManyRequests" {
		t.Errorf("%+v", doc)
	}
}

func TestS77_WhatCannotBeCountedIsNotServed(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Count = func(context.Context, string) (limit.Reading, error) {
			return limit.Reading{}, errors.New("database away")
		}
	})
	req := request("POST", "/idp/idx/identify")
	req.RemoteAddr = "192.0.2.1:99"
	wantRefusal(t, r.do(req), 503, "/idp/idx/identify", "errors.E0000010")
}

// A call from inside this process comes on behalf of whoever asked for the page.
func TestS52_S29_PagesAskOnBehalfOfTheirPerson(t *testing.T) {
	var counted []string
	var r *rig
	r = newRig(t, func(c *Config) {
		c.Count = func(_ context.Context, source string) (limit.Reading, error) {
			counted = append(counted, source)
			return limit.Reading{OK: true}, nil
		}
		c.Pages = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			in := httptest.NewRequest("POST", home+"/idp/idx/identify", nil).WithContext(req.Context())
			if _, err := (Local{r.Server}).RoundTrip(in); err != nil {
				t.Error(err)
			}
		})
	})
	req := request("GET", "/signin")
	req.RemoteAddr = "192.0.2.1:99"
	r.do(req)
	if len(counted) != 1 || counted[0] != "192.0.2.1" {
		t.Errorf("counted %v", counted)
	}
}

// A calling is one connection, from wherever it says.
type calling struct {
	net.Conn
	from string
}

func (c calling) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}
func (calling) Close() error { return nil }

type callers struct {
	net.Listener
	from []string
}

func (c *callers) Accept() (net.Conn, error) {
	if len(c.from) == 0 {
		return nil, net.ErrClosed
	}
	next := calling{from: c.from[0]}
	c.from = c.from[1:]
	return next, nil
}

func TestS50_ConnectionsBySourceAndInAll(t *testing.T) {
	l := Crowd(&callers{from: []string{
		"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", // one network: two of three
		"[2001:db8:0:1::1]:1", "192.0.2.1:1", // five in all
		"192.0.2.2:1", "10.0.0.1:1", // the house is full, for proxies too
	}}, func(a netip.Addr) bool { return a.String() == "10.0.0.1" }, 2, 4)
	var let []string
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		let = append(let, c.RemoteAddr().String())
	}
	if len(let) != 4 || let[2] != "[2001:db8:0:1::1]:1" || let[3] != "192.0.2.1:1" {
		t.Errorf("let in %v", let)
	}
}

func TestS85_AsManyBeginAsAreAdmitted(t *testing.T) {
	left := 1
	r := newRig(t, func(c *Config) { c.Admit = func() bool { left--; return left >= 0 } })
	for _, want := range []bool{true, false} {
		if got := r.do(request("POST", "/oauth2/default/v1/interact")); (got.StatusCode != 503) != want {
			t.Errorf("answered %d, and one sign-in was to begin", got.StatusCode)
		}
	}
	if got := r.do(request("POST", "/idp/idx/identify")); got.StatusCode == 503 || left != -1 {
		t.Errorf("answered %d to who has begun, and was asked %d times", got.StatusCode, 1-left)
	}
	if r.Crowded() {
		t.Error("who was admitted is sent away at the next step")
	}
}
