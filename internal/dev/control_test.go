package dev_test

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey.dev/latchkeytest"
)

// ask sends a request to a dev server and returns status and body.
func ask(t *testing.T, srv *latchkeytest.Server, method, path, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if path != "/" && strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") && response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s may be cached", method, path)
	}
	return response.StatusCode, string(answer)
}

// send makes the server text a number, by signing somebody in.
func send(t *testing.T, srv *latchkeytest.Server, number string) {
	t.Helper()
	u := srv.AddUser(latchkeytest.User{Phone: number})
	var began struct {
		Handle string `json:"interaction_handle"`
	}
	response, err := srv.Client().PostForm(srv.Env["ISSUER"]+"/v1/interact", url.Values{
		"client_id": {srv.Env["CLIENT_ID"]}, "scope": {"openid"}, "redirect_uri": {srv.Env["REDIRECT_URI"]}, "state": {"s"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&began); err != nil {
		t.Fatal(err)
	}
	var d struct {
		StateHandle    string
		Authenticators struct{ Value []struct{ ID string } }
	}
	step := func(path string, body map[string]any) {
		t.Helper()
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		status, answer := ask(t, srv, http.MethodPost, "/idp/idx/"+path, string(data))
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		if err := json.Unmarshal([]byte(answer), &d); err != nil {
			t.Fatal(err)
		}
	}
	step("introspect", map[string]any{"interactionHandle": began.Handle})
	step("identify", map[string]any{"stateHandle": d.StateHandle, "identifier": u.Login, "credentials": map[string]string{"passcode": u.Password}})
	step("challenge", map[string]any{"stateHandle": d.StateHandle,
		"authenticator": map[string]string{"id": d.Authenticators.Value[0].ID, "methodType": "sms"}})
}

func TestOutbox(t *testing.T) {
	srv := latchkeytest.Start(t)
	if status, body := ask(t, srv, "GET", "/dev/outbox", ""); status != http.StatusOK || strings.TrimSpace(body) != "[]" {
		t.Fatalf("empty: %d %s", status, body)
	}
	send(t, srv, "+12025550101")
	send(t, srv, "+12025550102")
	_, body := ask(t, srv, "GET", "/dev/outbox", "")
	var texts []map[string]string
	if err := json.Unmarshal([]byte(body), &texts); err != nil || len(texts) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	first := texts[0]
	if len(first) != 5 || first["id"] == "" || first["channel"] != "sms" || first["to"] != "+12025550101" || !strings.Contains(first["body"], "code") {
		t.Errorf("the oldest comes first: %s", body)
	}
	if _, err := time.Parse(time.RFC3339, first["sent_at"]); err != nil {
		t.Error(err)
	}
	for _, query := range []string{"?to=%2B12025550102", "?to=+12025550102", "?to=%2B12025550102&wait=5s"} {
		_, body = ask(t, srv, "GET", "/dev/outbox"+query, "")
		if texts = nil; json.Unmarshal([]byte(body), &texts) != nil || len(texts) != 1 || texts[0]["to"] != "+12025550102" {
			t.Errorf("%s: %s", query, body)
		}
	}
	if status, body := ask(t, srv, "DELETE", "/dev/outbox", ""); status != http.StatusOK || strings.TrimSpace(body) != "[]" {
		t.Errorf("emptying: %d %s", status, body)
	}
	if _, body := ask(t, srv, "GET", "/dev/outbox", ""); strings.TrimSpace(body) != "[]" {
		t.Errorf("emptied: %s", body)
	}
}

func TestOutboxWaits(t *testing.T) {
	srv := latchkeytest.Start(t)
	answered := make(chan string, 1)
	go func() {
		_, body := ask(t, srv, "GET", "/dev/outbox?to=%2B12025550103&wait=30s", "")
		answered <- body
	}()
	send(t, srv, "+12025550104") // somebody else's wakes nobody
	select {
	case body := <-answered:
		t.Fatalf("answered before its text was there: %s", body)
	default:
	}
	send(t, srv, "+12025550103")
	if body := <-answered; !strings.Contains(body, "+12025550103") || strings.Contains(body, "+12025550104") {
		t.Errorf("answered %s", body)
	}
	began := time.Now()
	if _, body := ask(t, srv, "GET", "/dev/outbox?to=%2B12025550105&wait=50ms", ""); strings.TrimSpace(body) != "[]" || time.Since(began) < 50*time.Millisecond {
		t.Errorf("after %s: %s", time.Since(began), body)
	}
}

func TestControl(t *testing.T) {
	srv := latchkeytest.Start(t)
	tests := []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/dev/clock", "", 200, `{"now":"20`},
		{"POST", "/dev/clock", `{"advance":"31s"}`, 200, `{"now":"20`},
		{"POST", "/dev/clock", `{"set":"2030-01-02T15:04:05Z"}`, 200, `{"now":"2030-01-02T15:04:0`},
		{"POST", "/dev/clock", `{"advance":"-24h"}`, 200, `{"now":"2030-01-01T15:04:0`},
		{"POST", "/dev/clock", `{"reset":true}`, 200, `{"now":"20`},
		{"POST", "/dev/clock", `{"advance":"soon"}`, 400, "31s"},
		{"POST", "/dev/clock", `{"advance":"2000000h"}`, 400, "out of reach"},
		{"POST", "/dev/clock", `{"set":"0900-01-02T15:04:05Z"}`, 400, "out of reach"},
		{"POST", "/dev/clock", `{"set":"yesterday"}`, 400, "error"},
		{"POST", "/dev/clock", `{}`, 400, "advance"},
		{"POST", "/dev/clock", `{"forward":"31s"}`, 400, "forward"},
		{"POST", "/dev/clock", `[`, 400, "error"},
		{"PUT", "/dev/clock", `{}`, 405, "GET and POST"},
		{"PUT", "/dev/codes", `{"pattern":"+1555*","code":"424242"}`, 200, `[{"pattern":"+1555*","code":"424242"}]`},
		{"PUT", "/dev/codes", `{"pattern":"+1555*","code":"131313"}`, 200, `[{"pattern":"+1555*","code":"131313"}]`},
		{"PUT", "/dev/codes", `{"pattern":"*","code":"777777"}`, 200, `{"pattern":"*","code":"777777"}]`},
		{"GET", "/dev/codes", "", 200, "131313"},
		{"DELETE", "/dev/codes", `{"pattern":"*"}`, 200, `[{"pattern":"+1555*","code":"131313"}]`},
		{"DELETE", "/dev/codes", "", 200, "[]"},
		{"PUT", "/dev/codes", `{"pattern":"+1555*","code":"42"}`, 400, "6 digits"},
		{"PUT", "/dev/codes", `{"pattern":"","code":"424242"}`, 400, "pattern"},
		{"PUT", "/dev/codes", `{"pattern":"+1[0-9]","code":"424242"}`, 400, "pattern"},
		{"PUT", "/dev/gateway", `{"fault":"refuse","to":"+1555*"}`, 200, `{"fault":"refuse","to":"+1555*"}`},
		{"PUT", "/dev/gateway", `{"fault":"hang"}`, 200, `{"fault":"hang","to":"*"}`},
		{"PUT", "/dev/gateway", `{"fault":"explode"}`, 400, "refuse, hang or fail"},
		{"DELETE", "/dev/gateway", "", 200, "{}"},
		{"DELETE", "/dev/gateway", `{"to":"+1555*"}`, 200, "{}"},
		{"POST", "/dev/reset", "", 200, `{"now":"`},
		{"POST", "/dev/reset", `{}`, 200, `{"now":"`},
		{"GET", "/dev/reset", "", 405, "POST"},
		{"GET", "/dev/outbox?wait=long", "", 400, "5s"},
		{"GET", "/dev/outbox?wait=2h", "", 400, "at most"},
		{"POST", "/dev/outbox", "{}", 405, "DELETE and GET"},
		{"GET", "/dev/nothing", "", 404, ""},
	}
	for _, test := range tests {
		status, body := ask(t, srv, test.method, test.path, test.body)
		if status != test.status || !strings.Contains(body, test.says) {
			t.Errorf("%s %s %s: %d %s, want %d %s", test.method, test.path, test.body, status, body, test.status, test.says)
		}
	}
	if status, _ := ask(t, srv, "PUT", "/dev/codes", `{"pattern":"*","code":"424242"}`, "Content-Type", "text/plain"); status != http.StatusUnsupportedMediaType {
		t.Errorf("a body that any form can send is answered %d", status)
	}
}

func TestS41_PagesOfOtherSitesDoNotControl(t *testing.T) {
	srv := latchkeytest.Start(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	tests := map[string]struct {
		header []string
		status int
	}{
		"a program":                           {nil, 200},
		"our own page":                        {[]string{"Origin", srv.URL, "Sec-Fetch-Site", "same-origin"}, 200},
		"typed into the address bar":          {[]string{"Sec-Fetch-Site", "none"}, 200},
		"another site":                        {[]string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		"another site, old browser":           {[]string{"Origin", "https://evil.example"}, 403},
		"another site, without an origin":     {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		"a sandboxed frame":                   {[]string{"Origin", "null"}, 403},
		"another port of this machine":        {[]string{"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"}, 403},
		"this server under its other name":    {[]string{"Origin", "http://localhost:" + port}, 403},
		"our origin, but not by http":         {[]string{"Origin", strings.Replace(srv.URL, "http", "https", 1)}, 403},
		"a name that was pointed at us":       {[]string{"Host", "rebound.evil.example:" + port}, 421},
		"a navigation that changes something": {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
	}
	for name, test := range tests {
		for _, call := range [][3]string{
			{"POST", "/dev/reset", ""}, {"POST", "/dev/clock", `{"reset":true}`}, {"PUT", "/dev/codes", `{"pattern":"+0","code":"000000"}`},
			{"DELETE", "/dev/outbox", ""}, {"DELETE", "/dev/gateway", ""},
		} {
			if status := asHost(t, srv, call, test.header); status != test.status {
				t.Errorf("%s: %s %s is answered %d, want %d", name, call[0], call[1], status, test.status)
			}
		}
	}
	// Reading is refused, too; following a link is not.
	if status, _ := ask(t, srv, "GET", "/dev/outbox", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); status != 403 {
		t.Errorf("another site's script reads the outbox: %d", status)
	}
	if status, _ := ask(t, srv, "GET", "/dev/outbox", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Accept", "text/html"); status != 200 {
		t.Errorf("somebody who follows a link to the outbox gets %d", status)
	}
}

func asHost(t *testing.T, srv *latchkeytest.Server, call [3]string, header []string) int {
	t.Helper()
	r, err := http.NewRequest(call[0], srv.URL+call[1], strings.NewReader(call[2]))
	if err != nil {
		t.Fatal(err)
	}
	if call[2] != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	response, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if cors := response.Header.Get("Access-Control-Allow-Origin"); cors != "" {
		t.Errorf("the control API allows %s", cors)
	}
	return response.StatusCode
}

func TestPages(t *testing.T) {
	srv := latchkeytest.Start(t)
	send(t, srv, "+12025550106")
	for path, wants := range map[string][]string{
		"/":           {srv.Env["SIGNIN_URL"], srv.Env["OUTBOX_URL"], srv.Env["ISSUER"], srv.Env["PASSWORD"], srv.Env["CLIENT_ID_1FA"], "Not as in production", "unknown"},
		"/dev/outbox": {"+12025550106", srv.Code(t, "+12025550106"), "/dev/outbox.js", `<noscript><meta http-equiv="refresh"`},
	} {
		r, err := http.NewRequest(http.MethodGet, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9")
		response, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		for _, want := range wants {
			if !strings.Contains(html.UnescapeString(string(body)), want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
		h := response.Header
		policy := h.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.HasPrefix(h.Get("Content-Type"), "text/html") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("S-43: %s has %v", path, h)
		}
		if strings.Contains(string(body), "<script>") || strings.Contains(string(body), " style=") {
			t.Errorf("S-43: %s has inline script or style", path)
		}
	}
	for _, path := range []string{"/dev/style.css", "/dev/outbox.js"} {
		if status, _ := ask(t, srv, "GET", path, ""); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, body := ask(t, srv, "GET", "/app/signin", ""); status != http.StatusOK || !strings.Contains(body, "<form") {
		t.Errorf("SIGNIN_URL: %d %s", status, body)
	}
}
