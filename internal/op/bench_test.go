package op_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The handlers alone, without a socket: what they add to a bare request. The ratios that are promised are measured by bench.

func benchmark(b *testing.B, path string, h func(*org) header) {
	o := newOrg(b)
	headers := h(o)
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		o.api.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}

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
