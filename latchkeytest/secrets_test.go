package latchkeytest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/latchkeytest"
)

// A book is a log that several write to.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestS72_AFullRunLeavesNoSecretInLogsAndEvents does everything that can be done, right and wrong, with
// secrets that can be recognised, and then looks for them in all that was written down.
func TestS72_AFullRunLeavesNoSecretInLogsAndEvents(t *testing.T) {
	both(t, func(t *testing.T, with ...latchkeytest.Option) {
		log := &book{}
		srv := latchkeytest.Start(t, append(with, latchkeytest.LogTo(log))...)
		const number, other = "+12025550188", "+12025550187"
		secrets := map[string]string{
			"a number": number[1:], "another number": other[1:], "the enrolled number": srv.Env["PHONE_ENROLLED"][1:],
			"a password": srv.Env["PASSWORD"], "another password": srv.Env["PASSWORD_ENROLLED"], "the client's secret": srv.Env["WEB_CLIENT_SECRET"],
			"a wrong password": "marker-wrong-password", "a password in the field for the name": "marker-password-as-name",
			"a wrong client secret": "marker-client-secret", "a token made up": "marker-token", "a handle made up": "marker-handle",
			"a number that is none": "marker-number",
		}

		// Everything right, and what goes wrong on the way.
		w := begin(t, srv, srv.Env["CLIENT_ID"])
		secrets["the verifier"], secrets["the interaction handle"] = w.verifier, w.interaction
		w.password("marker-password-as-name", "marker-wrong-password")
		w.password("marker-password-as-name@example.com", "marker-wrong-password")
		w.password(srv.Env["USERNAME"], "marker-wrong-password")
		w.password(srv.Env["USERNAME"], srv.Env["PASSWORD"])
		w.text("marker-number")
		srv.GatewayFault(latchkeytest.Refuse, other)
		w.text(other)
		srv.GatewayFault(latchkeytest.Fail, other)
		w.text(other)
		srv.MendGateway()
		w.text(number)
		secrets["the state handle"], secrets["a code"] = w.state, srv.Code(t, number)
		w.answer(wrongCode(secrets["a code"]))
		w.answer("marker-number")
		w.post("challenge/resend", map[string]any{})
		w.post("introspect", map[string]any{"stateToken": w.state})
		w.post("challenge/poll", map[string]any{"secret": "marker-handle"})
		done := w.answer(secrets["a code"])
		secrets["the interaction code"] = done.code()
		tokens := w.tokens(url.Values{"grant_type": {"interaction_code"}, "interaction_code": {done.code()}, "code_verifier": {w.verifier}})
		refreshed := w.tokens(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"]}})
		for name, set := range map[string]map[string]string{"first": tokens, "second": refreshed} {
			for _, kind := range []string{"access_token", "id_token", "refresh_token"} {
				if len(set[kind]) < 40 {
					t.Fatalf("no %s in %v", kind, set)
				}
				secrets["the "+name+" "+kind] = set[kind]
			}
		}

		// The endpoints, misused.
		w.tokens(url.Values{"grant_type": {"interaction_code"}, "interaction_code": {done.code()}, "code_verifier": {w.verifier}})
		w.tokens(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"]}})
		w.tokens(url.Values{"grant_type": {"password"}, "username": {"marker-password-as-name"}, "password": {"marker-wrong-password"}})
		w.tokens(url.Values{"client_id": {srv.Env["WEB_CLIENT_ID"]}, "client_secret": {"marker-client-secret"}})
		for _, call := range []string{"/v1/revoke", "/v1/introspect"} {
			w.form(call, url.Values{"client_id": {w.client}, "token": {"marker-token"}}, nil)
			w.form(call, url.Values{"client_id": {srv.Env["WEB_CLIENT_ID"]}, "client_secret": {srv.Env["WEB_CLIENT_SECRET"]}, "token": {refreshed["access_token"]}}, nil)
		}
		for _, path := range []string{
			"/oauth2/default/v1/userinfo?access_token=marker-token", "/oauth2/default/v1/authorize?state=marker-token&client_id=marker-client-secret",
			"/oauth2/default/v1/token?client_secret=marker-client-secret", "/app/callback?interaction_code=marker-token&state=marker-handle",
			"/login/token/redirect?stateToken=marker-handle", "/oauth2/default/v1/logout?id_token_hint=" + tokens["id_token"],
		} {
			r, err := http.NewRequest(http.MethodGet, srv.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer marker-token")
			r.Header.Set("Cookie", "sid=marker-token")
			if response, err := srv.Client().Do(r); err == nil { // redirects may lead nowhere
				response.Body.Close()
			}
		}
		for _, body := range []string{`{"stateHandle":"marker-handle"}`, `{"identifier":["marker-wrong-password"]}`, `{"credentials":{"passcode":"marker-wrong-password"`} {
			r, err := http.NewRequest(http.MethodPost, srv.URL+"/idp/idx/identify", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			response, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}

		// The sample application's pages, which walk through the same engine.
		pages(t, srv, secrets)

		// A sixth answer, and cancelling.
		last := begin(t, srv, srv.Env["CLIENT_ID"])
		last.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
		srv.ClearMessages()
		last.text("")
		secrets["another code"] = srv.Code(t, srv.Env["PHONE_ENROLLED"])
		for range 6 {
			last.answer(wrongCode(secrets["another code"]))
		}
		last.post("cancel", map[string]any{})

		written := log.String()
		for _, want := range []string{"level=INFO msg=request", "level=WARN"} {
			if !strings.Contains(written, want) {
				t.Fatalf("the log is too quiet to prove anything: no %s in %d bytes", want, len(written))
			}
		}
		events := srv.Events(t)
		for _, want := range []audit.Type{audit.FlowBegun, audit.PasswordOK, audit.PasswordWrong, audit.CodeSent, audit.MessageSent, audit.MessageRefused,
			audit.MessageFailed, audit.CodeWrong, audit.CodeOK, audit.FactorEnrolled, audit.SignedIn, audit.TokensIssued, audit.TokensRefreshed,
			audit.CodeReplayed, audit.RefreshReused, audit.FlowCancelled} {
			if !slices.ContainsFunc(events, func(e audit.Event) bool { return e.Type == want }) {
				t.Errorf("S-71: no event %s", want)
			}
		}
		written += fmt.Sprintf("%+v", events)
		for what, secret := range secrets {
			for _, form := range []string{secret, url.QueryEscape(secret)} {
				if i := strings.Index(written, form); i >= 0 {
					t.Errorf("%s was written down: ...%s...", what, written[max(0, i-200):min(len(written), i+100)])
					break
				}
			}
		}
	})
}

// tokens posts to the token endpoint and returns whatever strings it answers.
func (w *walker) tokens(form url.Values) map[string]string {
	w.t.Helper()
	if !form.Has("client_id") {
		form.Set("client_id", w.client)
	}
	form.Set("redirect_uri", w.srv.Env["REDIRECT_URI"])
	var answer map[string]any
	w.form("/v1/token", form, &answer)
	found := map[string]string{}
	for k, v := range answer {
		if s, ok := v.(string); ok {
			found[k] = s
		}
	}
	return found
}

func wrongCode(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

var (
	formTag  = regexp.MustCompile(`(?s)<form class="main" method="post" action="([^"]+)".*?</form>`)
	inputTag = regexp.MustCompile(`<(?:input|button)[^>]* name="([^"]+)"[^>]*>`)
	valueAt  = regexp.MustCompile(` value="([^"]*)"`)
)

// pages signs in as a browser without scripts does, and then signs out.
func pages(t *testing.T, srv *latchkeytest.Server, secrets map[string]string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	srv.ClearMessages()
	answers := []map[string]string{
		{"v.identifier": srv.Env["USERNAME_ENROLLED"], "v.credentials.passcode": "marker-wrong-password"},
		{"v.identifier": srv.Env["USERNAME_ENROLLED"], "v.credentials.passcode": srv.Env["PASSWORD_ENROLLED"]},
		{},
	}
	response, err := browser.Get(srv.Env["SIGNIN_URL"])
	for step := 0; ; step++ {
		if err != nil {
			t.Fatal(err)
		}
		page, readErr := io.ReadAll(response.Body)
		response.Body.Close()
		if readErr != nil {
			t.Fatal(readErr)
		}
		form := formTag.FindSubmatch(page)
		if form == nil {
			if !strings.Contains(string(page), "Paul") {
				t.Fatalf("at step %d of the pages there is no form and no profile: %d %s", step, response.StatusCode, page)
			}
			break
		}
		fill := map[string]string{}
		if step < len(answers) {
			fill = answers[step]
		} else {
			secrets["the pages' code"] = srv.Code(t, srv.Env["PHONE_ENROLLED"])
			fill["v.credentials.passcode"] = secrets["the pages' code"]
		}
		values := url.Values{}
		for _, input := range inputTag.FindAllSubmatch(form[0], -1) {
			name, value := string(input[1]), ""
			if v := valueAt.FindSubmatch(input[0]); v != nil {
				value = string(v[1])
			}
			if f, ok := fill[name]; ok {
				value = f
			}
			if !strings.Contains(string(input[0]), `type="checkbox"`) {
				values.Set(name, value)
			}
		}
		if step > 6 {
			t.Fatalf("the pages do not come to an end: %s", page)
		}
		action := string(form[1])
		if strings.HasPrefix(action, "/") {
			action = srv.URL + action
		}
		response, err = browser.PostForm(action, values)
	}
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range jar.Cookies(at) {
		secrets[fmt.Sprintf("the pages' cookie %d", i)] = c.Value
	}
}
