package op_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The handlers alone, without a socket: what they add to a bare request. The ratios that are promised are measured by bench.

func benchmark(b *testing.B, path string, h func(*org) header) {
	o := newOrg(b)
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for name, value := range h(o) {
		r.Header.Set(name, value)
	}
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		w.status = 0
		o.api.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

// sink is a ResponseWriter that costs nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkDiscovery(b *testing.B) {
	benchmark(b, base+".well-known/openid-configuration", func(*org) header { return nil })
}

func BenchmarkKeys(b *testing.B) {
	benchmark(b, base+"v1/keys", func(*org) header { return nil })
}

func BenchmarkUserInfo(b *testing.B) {
	benchmark(b, base+"v1/userinfo", func(o *org) header {
		return header{"Authorization": "Bearer " + o.signIn("openid profile email").Access}
	})
}

func BenchmarkToken(b *testing.B) {
	o := newOrg(b)
	for b.Loop() {
		b.StopTimer()
		code := o.code(appID, "openid profile email")
		b.StartTimer()
		o.redeem(code).ok()
	}
}

// Of tokens that were verified long ago, as many as are not remembered: what a gateway asks.
func benchmarkTokens(b *testing.B, ask func(o *org, token string) *http.Request) {
	o := orgOn(b, onSQLite(b))
	got := o.signIn("openid profile email phone offline_access")
	var requests []string
	for range 5000 {
		got = decode[tokens](o.refresh(got.Refresh).ok())
		requests = append(requests, got.Access)
	}
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		clear(w.header)
		w.status = 0
		o.api.ServeHTTP(w, ask(o, requests[i%len(requests)]))
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

func BenchmarkIntrospect(b *testing.B) {
	benchmarkTokens(b, func(o *org, token string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, base+"v1/introspect", strings.NewReader("client_id="+appID+"&token="+token))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	})
}

func BenchmarkUserInfoOfManyTokens(b *testing.B) {
	benchmarkTokens(b, func(o *org, token string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, base+"v1/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	})
}
