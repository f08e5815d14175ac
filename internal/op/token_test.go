package op_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/device"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/testkit"
)

func TestTokenAnswer(t *testing.T) {
	o := newOrg(t)
	a := o.form(base+"v1/token", nil, "client_id", appID, "redirect_uri", callback, "grant_type", "interaction_code",
		"code_verifier", verifier, "interaction_code", o.code(appID, "openid profile email offline_access")).ok()
	if h := a.Header(); h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("S-44: headers %v", h)
	}
	// What differs from run to run is named, the rest is the wire.
	body := a.Body.Bytes()
	body = regexp.MustCompile(`"eyJ[^"]+"`).ReplaceAll(body, []byte(`"JWT"`))
	body = regexp.MustCompile(`"refresh_token":"[\w-]{43}"`).ReplaceAll(body, []byte(`"refresh_token":"256 BITS"`))
	testkit.Golden(t, "testdata/token.json", append(body, '\n'))

	got := decode[tokens](a)
	id, access := part(t, got.ID, 1), part(t, got.Access, 1)
	if id["sub"] != "00u1mary" || id["aud"] != appID || id["nonce"] != nonce || access["sub"] != "mary@example.com" || access["uid"] != "00u1mary" {
		t.Errorf("claims\n%v\n%v", id, access)
	}
	if !strings.Contains(access["jti"].(string), ".oar") {
		t.Errorf("jti of an access token beside a refresh token: %v", access["jti"])
	}
}

// An independent relying party takes what we issue (S-62, S-66).
func TestIDTokenByAnotherVerifier(t *testing.T) {
	o := newOrg(t)
	server := httptest.NewServer(o.api)
	defer server.Close()
	reached := &http.Client{Transport: there(server.URL)}
	octx := oidc.ClientContext(ctx, reached)
	provider, err := oidc.NewProvider(octx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	got := o.signIn("openid profile email")
	token, err := provider.Verifier(&oidc.Config{ClientID: appID, Now: o.now}).Verify(octx, got.ID)
	if err != nil {
		t.Fatal(err)
	}
	if token.Subject != "00u1mary" || token.Nonce != nonce {
		t.Errorf("%+v", token)
	}
	if err := token.VerifyAccessToken(got.Access); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: "0oa1other", Now: o.now}).Verify(octx, got.ID); err == nil {
		t.Error("taken for another client")
	}
}

// there sends requests for our origin to a test server.
type there string

func (u there) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(string(u), "http://")
	return http.DefaultTransport.RoundTrip(r)
}

func TestClientNeeds_TokenHeadersAreAlgAndKid(t *testing.T) {
	got := newOrg(t).signIn("openid")
	for _, token := range []string{got.Access, got.ID} {
		if h := part(t, token, 0); len(h) != 2 || h["alg"] != "RS256" || h["kid"] == "" {
			t.Errorf("header %v", h)
		}
	}
}

func TestClientNeeds_NonceOnlyIfAskedFor(t *testing.T) {
	o := newOrg(t)
	if _, ok := part(t, o.signIn("openid").ID, 1)["nonce"]; !ok {
		t.Error("asked for and not there")
	}
	code := o.code(appID, "openid", func(c *store.Code) { c.Grant.Nonce = "" })
	got := decode[tokens](o.redeem(code).ok())
	if n, ok := part(t, got.ID, 1)["nonce"]; ok {
		t.Errorf("nobody asked for the nonce %v", n)
	}
}

func TestClientNeeds_TokenWithoutRedirectURI(t *testing.T) {
	o := newOrg(t)
	o.redeem(o.code(appID, "openid")).ok()
}

func TestClientNeeds_TokenNeverReturnsState(t *testing.T) {
	o := newOrg(t)
	a := o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", o.code(appID, "openid"), "client_id", appID,
		"code_verifier", verifier, "state", "s").ok()
	if _, ok := decode[map[string]any](a)["state"]; ok {
		t.Error("okta-auth-js compares it with nothing")
	}
}

// okta-idx-swift repeats the scope and names a response type; unknown parameters are nobody's business.
func TestClientNeeds_UnknownParametersAreIgnored(t *testing.T) {
	o := newOrg(t)
	o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", o.code(appID, "openid"), "client_id", appID,
		"code_verifier", verifier, "scope", "pets", "whatever", "1").ok()
}

// okta-idx-java and okta-idx-dotnet do not percent-encode their forms.
func TestClientNeeds_UnencodedForms(t *testing.T) {
	o := newOrg(t)
	o.post(base+"v1/token", "grant_type=interaction_code&interaction_code="+o.code(appID, "openid")+"&client_id="+appID+
		"&code_verifier="+verifier+"&redirect_uri="+callback, nil).ok()
	o.post(base+"v1/interact", "client_id="+appID+"&scope=openid profile email&code_challenge="+challenge()+
		"&code_challenge_method=S256&redirect_uri="+callback+"&state=x y", header{"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}).ok()
	if got := o.engine.began[0]; len(got.Scopes) != 3 || got.Redirect != callback || got.State != "x y" {
		t.Errorf("begun with %+v", got)
	}
}

func TestClientNeeds_AccessTokenIsAJWTAndIDTokenComesWithOpenID(t *testing.T) {
	o := newOrg(t)
	got := o.signIn("openid")
	if part(t, got.Access, 1)["scp"] == nil || got.ID == "" || got.Type != "Bearer" || got.Expires != 900 || got.Scope != "openid" {
		t.Errorf("%+v", got)
	}
	if got := o.signIn("email"); got.ID != "" {
		t.Error("an ID token that nobody asked for")
	}
}

func TestS55_PKCE(t *testing.T) {
	o := newOrg(t)
	for name, wrong := range map[string]string{
		"missing": "",
		"wrong":   strings.Repeat("x", 43),
		"short":   verifier[:42],
		"long":    strings.Repeat("x", 129),
		"plain":   challenge(),
	} {
		t.Run(name, func(t *testing.T) {
			code := o.code(appID, "openid")
			o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", code, "client_id", appID, "code_verifier", wrong).
				refused(400, oauth.InvalidGrant, "PKCE verification failed.")
			o.redeem(code).refused(400, oauth.InvalidGrant, "The interaction code is invalid or has expired.") // it is burnt
		})
	}
	if n := len(o.events(audit.TokenRefused)); n != 5 {
		t.Errorf("S-71: %d refusals recorded", n)
	}
}

func TestS56_Codes(t *testing.T) {
	o := newOrg(t)
	o.client("0oa1other", nil)
	const gone = "The interaction code is invalid or has expired."
	for name, test := range map[string]struct {
		change func(*store.Code)
		client string
		more   []string
		wait   time.Duration
		text   string
	}{
		"expired":                 {wait: time.Minute, text: gone},
		"another client's":        {client: "0oa1other", text: gone},
		"another server's":        {change: func(c *store.Code) { c.Grant.Server = "other" }, text: gone},
		"another redirect URI":    {more: []string{"redirect_uri", "http://127.0.0.1/cb"}, text: "The 'redirect_uri' is not the one that the sign-in began with."},
		"of a user who is gone":   {change: func(c *store.Code) { c.Grant.User = "00u1gone" }, text: gone},
		"of a user who is locked": {change: func(c *store.Code) { c.Grant.User = "00u1locked" }, text: gone},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "locked") {
				o.write(func(tx store.Tx) error {
					return tx.AddUser(ctx, ident.User{ID: "00u1locked", Login: "locked", Status: ident.Locked})
				})
			}
			var code string
			if test.change != nil {
				code = o.code(appID, "openid", test.change)
			} else {
				code = o.code(appID, "openid")
			}
			o.wait(test.wait)
			client := appID
			if test.client != "" {
				client = test.client
			}
			o.form(base+"v1/token", nil, append([]string{"grant_type", "interaction_code", "interaction_code", code, "client_id", client,
				"code_verifier", verifier}, test.more...)...).refused(400, oauth.InvalidGrant, test.text)
			if !strings.Contains(name, "gone") { // that one was rolled back, and is of no use to anybody
				o.redeem(code).refused(400, oauth.InvalidGrant, gone) // whatever was wrong, it is burnt
			}
		})
	}
	o.redeem("no such code").refused(400, oauth.InvalidGrant, gone)
	o.form(base+"v1/token", nil, "grant_type", "interaction_code", "client_id", appID).refused(400, oauth.InvalidRequest, "")
}

func TestS56_AReplayRevokesWhatTheCodeGave(t *testing.T) {
	o := newOrg(t)
	code := o.code(appID, "openid offline_access")
	got := decode[tokens](o.redeem(code).ok())
	o.userinfo(got.Access).ok()
	o.redeem(code).refused(400, oauth.InvalidGrant, "The interaction code is invalid or has expired.")
	o.userinfo(got.Access).refused(401, oauth.InvalidToken, "")
	o.refresh(got.Refresh).refused(400, oauth.InvalidGrant, "The refresh token is invalid or expired.")
	if len(o.events(audit.CodeReplayed)) != 1 || len(o.events(audit.TokensIssued)) != 1 {
		t.Error("S-71: the replay was not recorded")
	}
}

func TestS56_ParallelRedemptions(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		code := o.code(appID, "openid")
		var winner atomic.Value
		won := race(50, func() int {
			a := o.redeem(code)
			if a.Code == http.StatusOK {
				winner.Store(decode[tokens](a).Access)
			}
			return a.Code
		})
		if won != 1 {
			t.Fatalf("%d of 50 won", won)
		}
		// 49 replays are 49 reasons to take back what the code gave, however they fell among its steps.
		o.userinfo(winner.Load().(string)).refused(401, oauth.InvalidToken, "")
		if n := len(o.events(audit.TokensIssued)); n != 1 {
			t.Errorf("%d issues recorded", n)
		}
	})
}

func TestS60_ParallelRefreshes(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		token := o.signIn("openid offline_access").Refresh
		if won := race(50, func() int { return o.refresh(token).Code }); won != 1 {
			t.Errorf("%d of 50 won", won)
		}
		if n := len(o.events(audit.TokensRefreshed)); n != 1 {
			t.Errorf("%d refreshes recorded", n)
		}
	})
}

// onBoth runs a test on both databases, because TestMain runs everything twice.
func onBoth(t *testing.T, f func(*testing.T, *org)) {
	t.Helper()
	f(t, newOrg(t))
}

// race calls f n times at once and counts the successes; anything but success and a plain refusal counts as many.
func race(n int, f func() int) (won int) {
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		start = make(chan struct{})
	)
	for range n {
		wait.Go(func() {
			<-start
			status := f()
			mu.Lock()
			defer mu.Unlock()
			switch status {
			case http.StatusOK:
				won++
			case http.StatusBadRequest:
			default:
				won += 1000 + status
			}
		})
	}
	close(start)
	wait.Wait()
	return won
}

func TestS57_Parameters(t *testing.T) {
	o := newOrg(t)
	o.client("0oa1limited", func(c *oauth.Client) { c.Grants = nil })
	code := func() string { return o.code(appID, "openid") }
	good := func(pairs ...string) string {
		return encode(append([]string{"grant_type", "interaction_code", "interaction_code", code(), "client_id", appID, "code_verifier", verifier}, pairs...)...)
	}
	json := header{"Content-Type": "application/json"}
	for name, test := range map[string]struct {
		path, body string
		header     header
		status     int
		code       oauth.Code
	}{
		"a parameter twice":          {body: good("client_id", appID), status: 400, code: oauth.InvalidRequest},
		"an unknown parameter twice": {body: good("x", "1", "x", "2"), status: 400, code: oauth.InvalidRequest},
		"twice, once empty":          {body: good("scope", "", "scope", "openid"), status: 400, code: oauth.InvalidRequest},
		"all in the URL":             {path: "v1/token?" + good(), status: 400, code: oauth.InvalidRequest},
		"one in the URL":             {path: "v1/token?client_id=" + appID, body: good(), status: 400, code: oauth.InvalidRequest},
		"a JSON body":                {body: `{"grant_type":"interaction_code"}`, header: json, status: 400, code: oauth.InvalidRequest},
		"a form called JSON":         {body: good(), header: json, status: 400, code: oauth.InvalidRequest},
		"no type":                    {body: good(), header: header{"Content-Type": ""}, status: 400, code: oauth.InvalidRequest},
		"multipart":                  {body: good(), header: header{"Content-Type": "multipart/form-data; boundary=x"}, status: 400, code: oauth.InvalidRequest},
		"a broken escape":            {body: good() + "&x=%zz", status: 400, code: oauth.InvalidRequest},
		"a NUL":                      {body: good("x", "\x00"), status: 400, code: oauth.InvalidRequest},
		"a line end":                 {body: good("x", "a\r\nb"), status: 400, code: oauth.InvalidRequest},
		"not UTF-8":                  {body: good() + "&x=%ff", status: 400, code: oauth.InvalidRequest},
		"S-47 compressed":            {body: good(), header: header{"Content-Encoding": "gzip"}, status: 415, code: oauth.InvalidRequest},
		"S-47 over 64 KiB":           {body: good("x", strings.Repeat("x", 64<<10)), status: 413, code: oauth.InvalidRequest},
		"S-47 a long value":          {body: good("x", strings.Repeat("x", 17<<10)), status: 400, code: oauth.InvalidRequest},
		"S-47 a long client id":      {body: encode("grant_type", "refresh_token", "client_id", strings.Repeat("x", 255)), status: 400, code: oauth.InvalidRequest},
		"S-47 many parameters":       {body: good() + strings.Repeat("&x", 256), status: 400, code: oauth.InvalidRequest},
		"no grant type":              {body: encode("client_id", appID), status: 400, code: oauth.InvalidRequest},
		"password":                   {body: encode("grant_type", "password", "client_id", appID, "username", "u", "password", "p"), status: 400, code: oauth.UnsupportedGrantType},
		"not the client's either":    {body: encode("grant_type", "client_credentials", "client_id", webID, "client_secret", webSecret), status: 400, code: oauth.UnauthorizedClient},
		"implicit":                   {body: encode("grant_type", "implicit", "client_id", appID), status: 400, code: oauth.UnsupportedGrantType},
		"no code":                    {body: encode("grant_type", "authorization_code", "client_id", appID), status: 400, code: oauth.InvalidRequest},
		"not the client's grant":     {body: encode("grant_type", "interaction_code", "interaction_code", "x", "client_id", "0oa1limited"), status: 400, code: oauth.UnauthorizedClient},
		"a DPoP proof":               {body: good(), header: header{"DPoP": "eyJ"}, status: 400, code: oauth.InvalidDPoPProof},
		"no body":                    {body: "", status: 400, code: oauth.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			path := test.path
			if path == "" {
				path = "v1/token"
			}
			o.post(base+path, test.body, test.header).refused(test.status, test.code, "")
		})
	}
}

func TestS58_ClientAuthentication(t *testing.T) {
	o := newOrg(t)
	o.client("0oa1off", func(c *oauth.Client) { c.Disabled = true })
	for name, test := range map[string]struct {
		header header
		pairs  []string
		status int
	}{
		"post":                              {nil, []string{"client_id", webID, "client_secret", webSecret}, 200},
		"basic":                             {basic(webID + ":" + webSecret), nil, 200},
		"basic, and the id again":           {basic(webID + ":" + webSecret), []string{"client_id", webID}, 200},
		"basic, form-encoded":               {basic("0oa1%77eb:" + strings.Repeat("%73", 43)), nil, 200},
		"no secret":                         {nil, []string{"client_id", webID}, 401},
		"basic without a colon":             {basic(webID), nil, 401},
		"basic with an empty secret":        {basic(webID + ":"), nil, 401},
		"wrong secret":                      {nil, []string{"client_id", webID, "client_secret", webSecret + "s"}, 401},
		"basic, wrong secret":               {basic(webID + ":x"), nil, 401},
		"unknown":                           {nil, []string{"client_id", "0oa1nobody"}, 401},
		"nobody":                            {nil, nil, 401},
		"disabled":                          {nil, []string{"client_id", "0oa1off"}, 401},
		"not base64":                        {header{"Authorization": "Basic %%%"}, nil, 401},
		"another scheme":                    {header{"Authorization": "Bearer x"}, []string{"client_id", webID, "client_secret", webSecret}, 401},
		"two ways at once":                  {basic(webID + ":" + webSecret), []string{"client_secret", webSecret}, 400},
		"two clients at once":               {basic(webID + ":" + webSecret), []string{"client_id", appID}, 400},
		"a public client that has a secret": {nil, []string{"client_id", appID, "client_secret", webSecret}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			a := o.form(base+"v1/token", test.header, append([]string{"grant_type", "interaction_code", "interaction_code", o.code(webID, "openid"), "code_verifier", verifier}, test.pairs...)...)
			switch test.status {
			case 200:
				a.ok()
			case 401:
				a.refused(401, oauth.InvalidClient, "")
				if challenged := a.Header().Get("WWW-Authenticate") == `Basic realm="oauth2"`; challenged != (test.header != nil) {
					t.Errorf("RFC 6749 5.2: WWW-Authenticate %q", a.Header().Get("WWW-Authenticate"))
				}
			default:
				a.refused(test.status, oauth.InvalidRequest, "")
			}
		})
	}
	t.Run("S-56 a client that fails burns no code", func(t *testing.T) {
		code := o.code(webID, "openid")
		o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", code, "code_verifier", verifier, "client_id", webID, "client_secret", "x").
			refused(401, oauth.InvalidClient, "")
		o.form(base+"v1/token", basic(webID+":"+webSecret), "grant_type", "interaction_code", "interaction_code", code, "code_verifier", verifier).ok()
	})
}

func TestS60_Refresh(t *testing.T) {
	const over = "The refresh token is invalid or expired."
	t.Run("rotates", func(t *testing.T) {
		o := newOrg(t)
		first := o.signIn("openid email offline_access")
		o.wait(time.Hour)
		second := decode[tokens](o.refresh(first.Refresh).ok())
		if second.Refresh == "" || second.Refresh == first.Refresh || second.Access == first.Access || second.Scope != first.Scope {
			t.Errorf("%+v after %+v", second, first)
		}
		a, b := part(t, first.ID, 1), part(t, second.ID, 1)
		if a["sub"] != b["sub"] || a["auth_time"] != b["auth_time"] || b["nonce"] != nil || a["jti"] == b["jti"] {
			t.Errorf("OpenID Connect Core 12.2: %v after %v", b, a)
		}
		o.userinfo(second.Access).ok()
		o.refresh(second.Refresh).ok()
	})
	t.Run("reuse ends the family", func(t *testing.T) {
		o := newOrg(t)
		first := o.signIn("openid offline_access")
		second := decode[tokens](o.refresh(first.Refresh).ok())
		o.refresh(first.Refresh).refused(400, oauth.InvalidGrant, over)
		o.refresh(second.Refresh).refused(400, oauth.InvalidGrant, over)
		o.userinfo(first.Access).refused(401, oauth.InvalidToken, "")
		o.userinfo(second.Access).refused(401, oauth.InvalidToken, "")
		if len(o.events(audit.RefreshReused)) != 1 {
			t.Error("S-71: not recorded")
		}
	})
	t.Run("narrows", func(t *testing.T) {
		o := newOrg(t)
		first := o.signIn("openid email offline_access")
		o.refresh(first.Refresh, "scope", "openid profile").refused(400, oauth.InvalidScope, "")
		narrow := decode[tokens](o.refresh(first.Refresh, "scope", "openid").ok()) // what was refused cost nothing
		if narrow.Scope != "openid" || narrow.Refresh == "" {
			t.Errorf("%+v", narrow)
		}
		if wide := decode[tokens](o.refresh(narrow.Refresh).ok()); wide.Scope != "openid email offline_access" {
			t.Errorf("RFC 6749 6: the grant itself narrowed to %q", wide.Scope)
		}
	})
	t.Run("S-59 idle and absolute", func(t *testing.T) {
		o := newOrg(t)
		idle := o.signIn("openid offline_access").Refresh
		o.wait(7 * 24 * time.Hour)
		o.refresh(idle).refused(400, oauth.InvalidGrant, over)

		token := o.signIn("openid offline_access").Refresh
		for range 15 { // 90 days in steps of 6
			o.wait(6*24*time.Hour - time.Second)
			token = decode[tokens](o.refresh(token).ok()).Refresh
		}
		o.wait(15 * time.Second)
		o.refresh(token).refused(400, oauth.InvalidGrant, over)
	})
	t.Run("belongs to its client and server", func(t *testing.T) {
		o := newOrg(t)
		o.client("0oa1other", nil)
		token := o.signIn("openid offline_access").Refresh
		o.form(base+"v1/token", nil, "grant_type", "refresh_token", "refresh_token", token, "client_id", "0oa1other").refused(400, oauth.InvalidGrant, over)
		o.form("/oauth2/other/v1/token", nil, "grant_type", "refresh_token", "refresh_token", token, "client_id", appID).refused(400, oauth.InvalidGrant, over)
		o.refresh("nonsense").refused(400, oauth.InvalidGrant, over)
		o.refresh("").refused(400, oauth.InvalidRequest, "")
		o.refresh(token).ok()
	})
	t.Run("ends with the user", func(t *testing.T) {
		o := newOrg(t)
		token := o.signIn("openid offline_access").Refresh
		o.suspend()
		o.refresh(token).refused(400, oauth.InvalidGrant, over)
	})
	t.Run("S-16 no kind is taken for another", func(t *testing.T) {
		o := newOrg(t)
		got := o.signIn("openid offline_access")
		o.redeem(got.Refresh).refused(400, oauth.InvalidGrant, "")
		o.refresh(got.Access).refused(400, oauth.InvalidGrant, "")
		o.refresh(o.code(appID, "openid")).refused(400, oauth.InvalidGrant, "")
	})
	t.Run("only with offline_access", func(t *testing.T) {
		if got := newOrg(t).signIn("openid"); got.Refresh != "" {
			t.Error("a refresh token that nobody asked for")
		}
	})
}

// suspend takes the person out of service.
func (o *org) suspend() {
	o.t.Helper()
	o.write(func(tx store.Tx) error {
		u, err := tx.User(ctx, "00u1mary")
		if err != nil {
			return err
		}
		u.Status = ident.Suspended
		return tx.PutUser(ctx, u)
	})
}

// FuzzToken: whatever form arrives, the answer is an OAuth document and never our fault (S-51).
func FuzzToken(f *testing.F) {
	o := newOrg(f)
	code := o.code(appID, "openid")
	f.Add("grant_type=interaction_code&interaction_code=" + code + "&client_id=" + appID + "&code_verifier=short")
	f.Add("grant_type=refresh_token&refresh_token=x&client_id=" + appID + "&scope=openid profile")
	f.Add("grant_type=interaction_code&client_id=%00")
	f.Add("=&==&%zz&a;b")
	f.Add(strings.Repeat("a=b&", 300))
	f.Fuzz(func(t *testing.T, form string) {
		for _, path := range []string{"v1/token", "v1/interact", "v1/revoke", "v1/introspect", "v1/userinfo"} {
			a := o.post(base+path, form, nil)
			if a.Code >= 500 {
				t.Fatalf("%s answered %d: %s", path, a.Code, a.Body)
			}
			if a.Code >= 400 {
				a.t = t
				e := decode[map[string]string](a)
				if e["error"] == "" || e["error_description"] == "" {
					t.Fatalf("%s answered %s", path, a.Body)
				}
			}
		}
	})
}

// FuzzBearer: no token that we did not sign opens userinfo.
func FuzzBearer(f *testing.F) {
	o := newOrg(f)
	good := o.signIn("openid").Access
	f.Add(good)
	f.Add(good + "x")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		a := o.userinfo(token)
		if a.Code == http.StatusOK && strings.TrimSpace(token) != good {
			t.Fatalf("%q opened userinfo", token)
		}
		if a.Code >= 500 {
			t.Fatalf("%d: %s", a.Code, a.Body)
		}
	})
}

// TestS57_ScopesThatAreTakenAway reach what was granted before: codes and device codes when they are redeemed, refresh
// tokens when they are used.
func TestS57_ScopesThatAreTakenAway(t *testing.T) {
	lose := map[string]func(*sofa, ...string){
		"the application": func(s *sofa, names ...string) {
			for _, id := range []oauth.ClientID{appID, tvID} {
				s.client(id, func(c *oauth.Client) {
					c.Grants = append(c.Grants, oauth.DeviceCode)
					c.Scopes = slices.DeleteFunc(slices.Clone(c.Scopes), func(n string) bool { return slices.Contains(names, n) })
				})
			}
		},
		"the server": func(s *sofa, names ...string) {
			s.server("default", func(o *oauth.Server) {
				o.Scopes = slices.DeleteFunc(o.Scopes, func(n string) bool { return slices.Contains(names, n) })
			})
		},
	}
	for name, loses := range lose {
		t.Run(name, func(t *testing.T) {
			onBothSofas(t, func(t *testing.T, s *sofa) {
				got, late := s.signIn("openid email offline_access"), s.signIn("openid email offline_access")
				code, hosted, only := s.code(appID, "openid email"), s.hosted(appID, "openid email offline_access"), s.code(appID, "email")
				w := s.wants("openid email")
				s.types(w.User, "continue").stays(200, "Your device is signed in")
				s.wait(device.Interval)

				loses(s, "email")
				for what, a := range map[string]answer{"an interaction code": s.redeem(code), "a device code": s.poll(w)} {
					got := decode[tokens](a.ok())
					if got.Scope != "openid" || part(t, got.ID, 1)["email"] != nil || strings.Contains(fmt.Sprint(part(t, got.Access, 1)["scp"]), "email") {
						t.Errorf("%s: %s", what, a.Body)
					}
				}
				if kept := decode[tokens](s.exchange(hosted, "redirect_uri", callback).ok()); kept.Scope != "openid offline_access" || kept.Refresh == "" {
					t.Errorf("an authorization code: %+v", kept)
				}
				s.redeem(only).refused(400, oauth.InvalidScope, "")
				for _, beyond := range []string{"email", "openid phone"} {
					s.refresh(got.Refresh, "scope", beyond).refused(400, oauth.InvalidScope, "")
				}
				asked := decode[tokens](s.refresh(got.Refresh, "scope", "openid email").ok()) // all it had, as okta-auth-js asks
				if asked.Scope != "openid" || part(t, asked.ID, 1)["email"] != nil || strings.Contains(fmt.Sprint(part(t, asked.Access, 1)["scp"]), "email") {
					t.Errorf("asked for by name: %+v", asked)
				}
				next := decode[tokens](s.refresh(asked.Refresh).ok())
				if next.Scope != "openid offline_access" || part(t, next.ID, 1)["email"] != nil {
					t.Errorf("refreshed: %+v", next)
				}
				again := decode[tokens](s.refresh(next.Refresh, "scope", "openid").ok())

				loses(s, "email", "offline_access")
				s.refresh(late.Refresh).refused(400, oauth.InvalidGrant, "")
				s.refresh(again.Refresh).refused(400, oauth.InvalidGrant, "")
				loses(s)
				if back := decode[tokens](s.refresh(late.Refresh).ok()); back.Scope != "openid email offline_access" {
					t.Errorf("given back: %+v", back)
				}
			})
		})
	}
}
