package conformance_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// asked is what the page says of modules in which we cannot know that the person wants to sign out.
const asked = "a page asks the person first: until its button is pressed nobody is signed out, and then the browser stays"

func rpInitiated() []module {
	return []module{
		{name: "oidcc-rp-initiated-logout-discovery-endpoint-verification", run: func(r *rp) { r.endpoint("end_session_endpoint") }},
		{name: "oidcc-rp-initiated-logout", run: logout},
		{name: "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", note: elsewhere, run: refuses(func(r *rp, t tokens) []string {
			return []string{"id_token_hint", t.ID, "post_logout_redirect_uri", signedOut + "/other", "state", "s"}
		})},
		{name: "oidcc-rp-initiated-logout-modified-id-token-hint", note: asked, run: func(r *rp) {
			for _, modify := range []func(header, claims, signature string) string{
				func(_, claims, _ string) string { return unsignedHeader + "." + claims + "." },
				func(header, claims, signature string) string { return header + "." + claims + "x." + signature },
			} {
				asks(func(r *rp, t tokens) []string {
					parts := strings.Split(t.ID, ".")
					return []string{"id_token_hint", modify(parts[0], parts[1], parts[2]), "post_logout_redirect_uri", signedOut, "state", "s"}
				})(r)
			}
		}},
		{name: "oidcc-rp-initiated-logout-no-id-token-hint", note: asked, run: asks(func(*rp, tokens) []string {
			return []string{"post_logout_redirect_uri", signedOut, "state", "s"}
		})},
		{name: "oidcc-rp-initiated-logout-no-params", note: asked, run: asks(func(*rp, tokens) []string { return nil })},
		{name: "oidcc-rp-initiated-logout-no-post-logout-redirect-uri", note: "a page says that it is done", run: func(r *rp) {
			t, _ := r.signIn()
			r.stays(r.leave("id_token_hint", t.ID, "state", "s"), http.StatusOK, "You are signed out You can close this window.")
			r.isOut()
		}},
		{name: "oidcc-rp-initiated-logout-no-state", run: logoutWithoutState},
		{name: "oidcc-rp-initiated-logout-only-state", note: asked, run: asks(func(*rp, tokens) []string { return []string{"state", "s"} })},
		{name: "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", note: elsewhere, run: refuses(func(r *rp, t tokens) []string {
			return []string{"id_token_hint", t.ID, "post_logout_redirect_uri", signedOut + "?foo=bar", "state", "s"}
		})},
		{name: "oidcc-rp-initiated-logout-bad-id-token-hint", note: asked, run: asks(func(r *rp, t tokens) []string {
			return []string{"id_token_hint", r.forged(), "post_logout_redirect_uri", signedOut, "state", "s"}
		})},
	}
}

func frontChannel() []module {
	return []module{
		{name: "oidcc-frontchannel-logout-discovery-endpoint-verification", run: func(r *rp) { r.announces("frontchannel") }},
		{name: "oidcc-frontchannel-rp-initiated-logout", run: logoutInFrames},
	}
}

func backChannel() []module {
	return []module{
		{name: "oidcc-backchannel-logout-discovery-endpoint-verification", run: func(r *rp) { r.announces("backchannel") }},
		{name: "oidcc-backchannel-rp-initiated-logout", run: logoutBehind},
	}
}

func (r *rp) announces(channel string) {
	r.Helper()
	r.endpoint("end_session_endpoint")
	for _, name := range []string{channel + "_logout_supported", channel + "_logout_session_supported"} {
		if r.meta[name] != true {
			r.Errorf("%s is %v", name, r.meta[name])
		}
	}
}

// leave goes to the end-session endpoint.
func (r *rp) leave(pairs ...string) *arrival {
	r.Helper()
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return r.browser.open(r.endpoint("end_session_endpoint") + "?" + v.Encode())
}

// isOut wants the browser to be signed out.
func (r *rp) isOut() {
	r.Helper()
	r.refusedWith(r.visit(r.request("prompt", "none")), "login_required", "interaction_required")
}

// arrives wants the browser back at the application, with that state; a page in between may ask or tell.
func (r *rp) arrives(back *arrival, state string) {
	r.Helper()
	if back == nil || back.at != signedOut || back.Get("state") != state || state == "" && back.Has("state") {
		r.Fatalf("back with %+v; the browser shows %s", back, r.browser)
	}
}

func logout(r *rp) {
	t, _ := r.signIn()
	state := random()
	r.arrives(r.leave("id_token_hint", t.ID, "post_logout_redirect_uri", signedOut, "state", state), state)
	r.isOut()
}

func logoutWithoutState(r *rp) {
	t, _ := r.signIn()
	r.arrives(r.leave("id_token_hint", t.ID, "post_logout_redirect_uri", signedOut), "")
	r.isOut()
}

// stays wants the browser to go nowhere, and to show a page of ours that says so.
func (r *rp) stays(back *arrival, status int, says string) {
	r.Helper()
	if back != nil {
		r.Fatalf("the browser was sent to %s", back.at)
	}
	b := r.browser
	if b.status != status || !strings.HasPrefix(b.header.Get("Content-Type"), "text/html") || !strings.Contains(b.String(), says) {
		r.Fatalf("%d %s, want %d %q", b.status, b, status, says)
	}
}

// asks wants a page that asks the person, and to do nothing before its button is pressed.
func asks(params func(*rp, tokens) []string) func(*rp) {
	return func(r *rp) {
		r.Helper()
		t, _ := r.signIn()
		with := params(r, t)
		r.stays(r.leave(with...), http.StatusOK, "Do you want to sign out?")
		forms := r.browser.forms()
		if len(forms) != 1 || forms[0].buttons != 1 {
			r.Fatalf("forms %+v", forms)
		}
		if again := r.visit(r.request("prompt", "none")); again == nil || again.Get("code") == "" {
			r.Fatalf("signed out before anybody said so: %+v", again)
		}
		status, says := http.StatusOK, "You are signed out You can close this window."
		if slices.Contains(with, "post_logout_redirect_uri") { // of an application that we do not know
			status, says = http.StatusBadRequest, "an address that is not registered for it, so you stay here."
		}
		r.stays(r.browser.submit(forms[0]), status, says)
		r.isOut()
	}
}

// elsewhere is what the page says of modules in which the application asks for an address that is not registered.
const elsewhere = "an error page: the person is signed out, and stays"

// refuses wants the person to be signed out, and an error page in place of the way to an address that is not registered.
func refuses(params func(*rp, tokens) []string) func(*rp) {
	return func(r *rp) {
		r.Helper()
		t, _ := r.signIn()
		r.stays(r.leave(params(r, t)...), http.StatusBadRequest, "an address that is not registered for it, so you stay here.")
		r.isOut()
	}
}

// forged is an ID token signed with the client's secret, as if HS256 had been agreed on.
func (r *rp) forged() string {
	r.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(r.client.Secret)}, nil)
	if err != nil {
		r.Fatal(err)
	}
	payload, _ := json.Marshal(map[string]any{
		"iss": r.issuer, "aud": r.client.ID, "sub": r.person.ID, "iat": r.srv.Now().Unix(), "exp": r.srv.Now().Add(time.Hour).Unix(), "ver": 1, "jti": "ID.x",
	})
	signed, err := signer.Sign(payload)
	if err != nil {
		r.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		r.Fatal(err)
	}
	return token
}

// logoutInFrames: the page that ends the session shows the application's address in a frame, with iss and sid
// (OpenID Connect Front-Channel Logout 3).
func logoutInFrames(r *rp) {
	const uri = "http://localhost:9/front-channel?of=us"
	r.client.FrontChannelLogout = uri
	r.srv.AddClient(r.client)
	t, c := r.signIn()
	if c.Session == "" {
		r.Fatal("the ID token has no sid")
	}
	back := r.leave("id_token_hint", t.ID, "post_logout_redirect_uri", signedOut, "state", "s")
	if back != nil {
		r.Fatal("sent on before the frames were shown")
	}
	frames := r.browser.frames()
	if len(frames) != 1 {
		r.Fatalf("%d frames: %s", len(frames), r.browser.body)
	}
	if q := frames[0].Query(); !strings.HasPrefix(frames[0].String(), "http://localhost:9/front-channel?") || q.Get("of") != "us" || q.Get("iss") != r.issuer || q.Get("sid") != c.Session {
		r.Errorf("frame %s, want iss %s and sid %s", frames[0], r.issuer, c.Session)
	}
	if policy := r.browser.header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-src") || !strings.Contains(policy, "http://localhost:9") {
		r.Errorf("a browser would not load the frame: %s", policy)
	}
	if !strings.Contains(r.browser.body, "http://localhost:9/signed-out") {
		r.Error("the page does not lead back to the application")
	}
	r.isOut()
}

// logoutBehind: the server tells the application (OpenID Connect Back-Channel Logout 2.4, 2.5).
func logoutBehind(r *rp) {
	told := make(chan url.Values, 4)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := q.ParseForm(); err == nil && q.Method == http.MethodPost {
			told <- q.PostForm
		}
	}))
	defer application.Close()
	r.client.BackChannelLogout = application.URL + "/back-channel"
	r.srv.AddClient(r.client)
	t, c := r.signIn()
	r.arrives(r.leave("id_token_hint", t.ID, "post_logout_redirect_uri", signedOut, "state", "s"), "s")
	var form url.Values
	select {
	case form = <-told:
	case <-time.After(15 * time.Second):
		r.Fatal("nobody told the application")
	}
	provider, err := oidc.NewProvider(r.Context(), r.issuer)
	if err != nil {
		r.Fatal(err)
	}
	verifier := provider.VerifierContext(context.WithoutCancel(r.Context()), &oidc.Config{ClientID: r.client.ID, Now: r.srv.Now})
	token, err := verifier.Verify(r.Context(), form.Get("logout_token")) // iss, aud, exp and the signature are those of an ID token
	if err != nil {
		r.Fatal(err)
	}
	var said struct {
		Subject string                     `json:"sub"`
		Session string                     `json:"sid"`
		ID      string                     `json:"jti"`
		Nonce   *string                    `json:"nonce"`
		Events  map[string]json.RawMessage `json:"events"`
	}
	if err := token.Claims(&said); err != nil {
		r.Fatal(err)
	}
	event := strings.TrimSpace(string(said.Events["http://schemas.openid.net/event/backchannel-logout"]))
	if said.Session != c.Session || c.Session == "" || said.Subject != c.Subject || said.ID == "" || said.Nonce != nil || event != "{}" {
		r.Errorf("%+v, event %q; the ID token has sid %q", said, event, c.Session)
	}
	r.isOut()
}
