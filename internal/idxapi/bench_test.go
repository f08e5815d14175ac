package idxapi_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
)

// BenchmarkSecondSignIn is everything of a sign-in but the password's hash, HTTP and the tokens.
func BenchmarkSecondSignIn(b *testing.B) {
	h := build(b)
	post := func(path, body string) string {
		r := httptest.NewRequest("POST", origin+"/idp/idx/"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.api.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	for b.Loop() {
		handle, err := h.engine.Begin(b.Context(), flow.Request{Server: "default", Client: "0oa1seed", Redirect: "http://localhost:8080/login/callback", Scopes: []string{"openid"}})
		if err != nil {
			b.Fatal(err)
		}
		_, doc, _ := strings.Cut(post("introspect", fmt.Sprintf(`{"interactionHandle":%q}`, handle.Reveal())), `"stateHandle":"`)
		sh := doc[:45]
		post("identify", fmt.Sprintf(`{"identifier":"paul@example.com","credentials":{"passcode":%q},"stateHandle":%q}`, password1, sh))
		post("challenge", fmt.Sprintf(`{"authenticator":{"id":"aut1phone","enrollmentId":"sms1paul","methodType":"sms"},"stateHandle":%q}`, sh))
		post("challenge/answer", fmt.Sprintf(`{"credentials":{"passcode":%q},"stateHandle":%q}`, h.pocket.code(), sh))
		h.advance(time.Millisecond)
	}
}
