package op_test

import (
	"net/http"
	"net/http/httptest"
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
