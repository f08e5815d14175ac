package courier

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

func TestCheckURL(t *testing.T) {
	for address, want := range map[string]string{
		"https://sms.example.test":             "",
		"https://sms.example.test:8443/a?b=c":  "",
		"http://localhost:13013/":              "",
		"http://127.0.0.1:13013/":              "",
		"http://127.8.9.1":                     "",
		"http://[::1]:13013":                   "",
		"":                                     "names no host",
		"sms.example.test":                     "names no host",
		"https:///path":                        "names no host",
		"http://sms.example.test":              "has to be https: only",
		"http://192.168.1.2":                   "has to be https: only",
		"http://localhost.example.test":        "has to be https: only",
		"http://127.0.0.1.example.test":        "has to be https: only",
		"ftp://sms.example.test":               "has to be https",
		"https://ada:marker@sms.example.test/": "holds credentials",
		"https://sms.example.test/#marker":     "ends in a fragment",
		"https://marker sms.example.test":      "is no address",
	} {
		err := CheckURL(address)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "marker") {
			t.Errorf("S-72: what is wrong with an address repeats it: %v", err)
		}
	}
}

func TestHeaders(t *testing.T) {
	for _, test := range []struct {
		name, value string
		ok          bool
	}{
		{"Authorization", "Bearer marker", true},
		{"x_api-key", "ключ", true},
		{"X-Empty", "", false},
		{"", "marker", false},
		{"X Key", "marker", false},
		{"X:Key", "marker", false},
		{"X-Key", "marker\r\nX-Other: 1", false},
		{"X-Key", "marker\x7f", false},
		{"content-type", "marker", false},
		{"Host", "marker", false},
		{"Webhook-Signature", "marker", false},
	} {
		err := Headers{test.name: secret.Text(test.value)}.Check()
		if (err == nil) != test.ok {
			t.Errorf("%q: %q: %v", test.name, test.value, err)
		}
		if err != nil && strings.Contains(err.Error(), "marker") {
			t.Errorf("S-72: what is wrong with a header repeats its value: %v", err)
		}
	}
}

// Some keep a key in the address, and net/http names the address in every error.
func TestS72_AddressesStayOutOfErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", r.URL.Path)
		conn.Close()
	}))
	defer server.Close()
	down := httptest.NewServer(nil)
	down.Close()
	for _, address := range []string{server.URL, down.URL} {
		_, err := New("line").Post(t.Context(), gateway.Text{}, address+"/hook?key=marker", http.Header{}, nil)
		if err == nil || strings.Contains(err.Error(), "marker") {
			t.Errorf("%v", err)
		}
	}
}

// Who hands a logout token over has to know whether there was an answer, and no more than that.
func TestS65_ANoIsToldFromNoAnswer(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("logout_token") != "marker" {
			t.Errorf("the token is %q", r.FormValue("logout_token"))
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	for _, status = range []int{200, 204, 202, 302, 400, 500, 503} {
		err := NewHerald().Post(t.Context(), server.URL+"/out", "marker")
		refused, ok := errors.AsType[*Refused](err)
		if yes := status == 200 || status == 204; yes != (err == nil) || !yes && (!ok || refused.Status != status) {
			t.Errorf("%d: %v", status, err)
		}
	}
	server.Close()
	err := NewHerald().Post(t.Context(), server.URL+"/out", "marker")
	if _, ok := errors.AsType[*Refused](err); err == nil || ok || strings.Contains(err.Error(), "marker") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestS72_CodesAndWords(t *testing.T) {
	l := New("line", "marker-secret")
	text := gateway.Text{To: secret.Text("+12025550143"), Body: secret.Text("739182 is your code")}
	for _, test := range []struct{ code, said, want string }{
		{"", "", "line: answered 400"},
		{"21211", "No such  number", "line: answered 400 21211: No such number"},
		{"572005", "", "line: answered 400 572005"},
		{"ValidationException/CANNOT_PARSE", "", "line: answered 400 ValidationException/CANNOT_PARSE"},
		{"739182", "", "line: answered 400 #"},
		{"x-739182-y", "", "line: answered 400 #"},
		{"12025550143", "", "line: answered 400 #"},
		{"marker-secret", "", "line: answered 400 #"},
		{"two words", "", "line: answered 400 #"},
		{"line\nbreak", "", "line: answered 400 #"},
		{strings.Repeat("x", 1000), "", "line: answered 400 #"},
		{"", "code 739 182 for ٧٣٩ of +1-202", "line: answered 400: code # # for # of +#-#"},
		{"", "key bWFya2VyLXNlY3JldA== and marker-secret", "line: answered 400: key [redacted] and [redacted]"},
		{"", "wide \u202e\x00\xffo\tpen", "line: answered 400: wide o pen"},
		{"", strings.Repeat("a ", 200), "line: answered 400: " + strings.Repeat("a ", 80) + "..."},
	} {
		if got := l.Fail(text, Answer{Status: 400}, test.code, test.said).Error(); got != test.want {
			t.Errorf("%q, %q: told as\n%q, want\n%q", test.code, test.said, got, test.want)
		}
	}
}
