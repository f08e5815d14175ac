package op_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// push pushes a good request of a client, with pairs in place of what it says.
func (o *org) push(h header, pairs ...string) answer {
	return o.post(base+"v1/par", asked(append([]string{"response_type", "code", "scope", "openid profile offline_access"}, pairs...)...), h)
}

// pushed is the name of what was pushed.
func (a answer) pushed() string {
	a.t.Helper()
	got := decode[struct {
		URI     string `json:"request_uri"`
		Expires int    `json:"expires_in"`
	}](a)
	if a.Code != http.StatusCreated || got.Expires != 60 || len(got.URI) != len("urn:ietf:params:oauth:request_uri:")+43 || a.Header().Get("Cache-Control") != "no-store" {
		a.t.Fatalf("status %d %s", a.Code, a.Body)
	}
	return got.URI
}

func (b *tab) bring(client, uri string, more ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.visit(http.MethodGet, base+"v1/authorize?"+encode(append([]string{"client_id", client, "request_uri", uri}, more...)...), nil)
}

// stuck is a page that leads nowhere.
func stuck(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || !strings.Contains(w.Body.String(), "expired or was used before") {
		t.Errorf("status %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
}

func TestS59_PushedRequests(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		uri := h.push(nil).pushed()
		p := b.code(b.password(b.asked(b.bring(appID, uri)), "mary@example.com"))
		got := b.redeem(appID, back(t, b.arrive(p)).Get("code"))
		if got.ID == "" || part(t, got.ID, 1)["nonce"] != nonce {
			t.Errorf("%+v", got)
		}
		t.Run("once", func(t *testing.T) { stuck(t, b.bring(appID, uri)) })
		t.Run("for a minute", func(t *testing.T) {
			uri := h.push(nil).pushed()
			h.wait(time.Minute - time.Microsecond)
			back(t, b.bring(appID, uri))
			uri = h.push(nil).pushed()
			h.wait(time.Minute)
			stuck(t, b.bring(appID, uri))
		})
		t.Run("by its client, and nobody else spends it", func(t *testing.T) {
			uri := h.push(nil).pushed()
			stuck(t, b.bring("0oa1second", uri))
			stuck(t, b.visit(http.MethodGet, "/oauth2/other/v1/authorize?"+encode("client_id", appID, "request_uri", uri), nil))
			back(t, b.bring(appID, uri))
		})
		t.Run("what stands beside it does not count", func(t *testing.T) {
			uri := h.push(nil).pushed()
			w := b.bring(appID, uri, "redirect_uri", "https://evil.example/", "state", "other", "scope", "openid", "prompt", "login")
			if back(t, w).Get("code") == "" {
				t.Errorf("%s", w.Header())
			}
		})
		t.Run("one that nobody pushed", func(t *testing.T) {
			stuck(t, b.bring(appID, "urn:ietf:params:oauth:request_uri:"+strings.Repeat("x", 43)))
			if q := back(t, b.authorize(appID, "request_uri", "urn:ietf:params:oauth:request_uri:x")); q.Get("error") != "invalid_request_uri" {
				t.Errorf("%v", q)
			}
			if q := back(t, b.authorize(appID, "request_uri", "https://evil.example/request")); q.Get("error") != "request_uri_not_supported" {
				t.Errorf("%v", q)
			}
		})
		t.Run("a form of another site is not what spends it", func(t *testing.T) {
			uri := h.push(nil).pushed()
			w := b.visit(http.MethodPost, base+"v1/authorize", url.Values{"client_id": {appID}, "request_uri": {uri}})
			if w.Code != http.StatusSeeOther {
				t.Fatalf("status %d", w.Code)
			}
			back(t, b.visit(http.MethodGet, strings.TrimPrefix(w.Header().Get("Location"), origin), nil))
		})
		t.Run("of any number at once one goes on", func(t *testing.T) {
			uri := h.push(nil).pushed()
			won := race(30, func() int {
				r := httptest.NewRequest(http.MethodGet, base+"v1/authorize?"+encode("client_id", appID, "request_uri", uri), nil)
				r.AddCookie(&http.Cookie{Name: "__Host-latchkey_session", Value: b.value()})
				w := httptest.NewRecorder()
				h.api.ServeHTTP(w, r)
				if w.Code == http.StatusFound {
					return http.StatusOK
				}
				return w.Code
			})
			if won != 1 {
				t.Errorf("%d of 30 went on", won)
			}
		})
	})
}

func TestS59_ClientsThatHaveToPush(t *testing.T) {
	h := newHosted(t, open(t))
	h.client("0oa1pushing", func(c *oauth.Client) { c.RequiresPAR = true })
	b := h.tab()
	q := back(t, b.authorize("0oa1pushing"))
	if q.Get("error") != "invalid_request" || len(h.handed) != 0 {
		t.Errorf("%v", q)
	}
	b.asked(b.bring("0oa1pushing", h.push(nil, "client_id", "0oa1pushing").pushed()))
	if w := b.visit(http.MethodGet, base+"v1/authorize?client_id=0oa1pushing", nil); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
		t.Errorf("status %d to %s", w.Code, w.Header().Get("Location"))
	}
}

// TestS58_WhoPushes: a confidential client proves itself, and what it proved itself by is not kept.
func TestS58_WhoPushes(t *testing.T) {
	o := newOrg(t).withSigner()
	o.push(nil).pushed()
	o.push(nil, "client_id", webID).refused(401, oauth.InvalidClient, "")
	o.push(nil, "client_id", webID, "client_secret", "wrong").refused(401, oauth.InvalidClient, "")
	o.push(nil, "client_id", webID, "client_secret", webSecret).pushed()
	o.push(basic(webID+":"+webSecret), "client_id", "").pushed()
	o.push(nil, "client_id", signerID, "client_assertion_type", asJWT, "client_assertion", o.assertion(claims{"aud": issuer + "/v1/par"})).pushed()
	o.push(nil, "client_id", "").refused(401, oauth.InvalidClient, "")
	uri := o.push(nil, "client_id", webID, "client_secret", webSecret).pushed()
	var got map[string]string
	o.write(func(tx store.Tx) error {
		value := strings.TrimPrefix(uri, "urn:ietf:params:oauth:request_uri:")
		p, err := tx.SpendPushed(ctx, secret.DigestOf(secret.RequestURI, value), "default", webID)
		got = p.Params
		return err
	})
	if got["client_secret"] != "" || got["client_id"] != webID || got["state"] != "xyz" {
		t.Errorf("kept %v", got)
	}
}

func TestPushedRequestsAreJudged(t *testing.T) {
	o := newOrg(t)
	o.client("0oa1idx", func(c *oauth.Client) { c.Grants = []oauth.GrantType{oauth.InteractionCode, oauth.RefreshToken} })
	for name, test := range map[string]struct {
		pairs []string
		code  oauth.Code
	}{
		"S-54 a redirect URI of nobody": {[]string{"redirect_uri", "https://evil.example/"}, oauth.InvalidRequest},
		"S-54 none":                     {[]string{"redirect_uri", ""}, oauth.InvalidRequest},
		"S-55 no challenge":             {[]string{"code_challenge", ""}, oauth.InvalidRequest},
		"S-55 plain":                    {[]string{"code_challenge_method", "plain"}, oauth.InvalidRequest},
		"S-57 an unknown scope":         {[]string{"scope", "openid pets"}, oauth.InvalidScope},
		"S-57 not the client's grant":   {[]string{"client_id", "0oa1idx"}, oauth.UnauthorizedClient},
		"S-64 another response type":    {[]string{"response_type", "token"}, oauth.UnsupportedResponseType},
		"no response type":              {[]string{"response_type", ""}, oauth.InvalidRequest},
		"S-64 another response mode":    {[]string{"response_mode", "fragment"}, oauth.InvalidRequest},
		"a request object":              {[]string{"request", "a.b.c"}, oauth.RequestNotSupported},
		"RFC 9126 2.1 a request URI":    {[]string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}, oauth.InvalidRequest},
		"a prompt that contradicts":     {[]string{"prompt", "none login"}, oauth.InvalidRequest},
		"a hint that is none of ours":   {[]string{"id_token_hint", "a.b.c"}, oauth.InvalidRequest},
		"a class we cannot satisfy":     {[]string{"acr_values", "phr"}, oauth.InvalidRequest},
		"max_age that is no number":     {[]string{"max_age", "-1"}, oauth.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) { o.push(nil, test.pairs...).refused(400, test.code, "") })
	}
	doc := decode[map[string]any](o.get(base+".well-known/openid-configuration", nil).ok())
	if doc["pushed_authorization_request_endpoint"] != issuer+"/v1/par" || doc["require_pushed_authorization_requests"] != false {
		t.Errorf("S-66: %v", doc)
	}
}
