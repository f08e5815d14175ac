package op_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
)

// from posts like somebody at an address.
func (o *org) from(address, path, form string, h header) answer {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return o.send(r.WithContext(obs.WithSource(r.Context(), audit.Source{Address: address})), h)
}

// S-26, S-46: who proved who it is tells whose address and device it speaks for; nobody else does.
func TestS26_S46_WhomAnApplicationSpeaksFor(t *testing.T) {
	o := newOrg(t)
	told := header{"X-Forwarded-For": "203.0.113.9", "X-Device-Token": "device-0123456789abcdef"}
	for name, test := range map[string]struct {
		pairs          []string
		header         header
		source, device string
	}{
		"proved":               {[]string{"client_id", webID, "client_secret", webSecret}, told, "203.0.113.9", "device-0123456789abcdef"},
		"public":               {nil, told, "", ""},
		"proved, nothing":      {[]string{"client_id", webID, "client_secret", webSecret}, nil, "", ""},
		"no address":           {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "me; DROP"}, "", ""},
		"behind a proxy":       {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "198.51.100.1, 203.0.113.9, 192.0.2.80"}, "203.0.113.9", ""},
		"an IPv6 address":      {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "2001:DB8::1"}, "2001:db8::1", ""},
		"behind two proxies":   {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "203.0.113.9, 192.0.2.80, 198.51.100.7"}, "203.0.113.9", ""},
		"proxies with ports":   {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "203.0.113.9, 192.0.2.80:4711, 198.51.100.7:443"}, "203.0.113.9", ""},
		"nothing, two proxies": {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "192.0.2.80, 198.51.100.7"}, "", ""},
		"nonsense, a proxy":    {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "me, 192.0.2.80"}, "", ""},
		"itself, as before":    {[]string{"client_id", webID, "client_secret", webSecret}, header{"X-Forwarded-For": "192.0.2.80"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o.from("192.0.2.80", base+"v1/interact", asked(test.pairs...), test.header).ok()
			last := len(o.engine.began) - 1
			if got := o.engine.began[last].Source; got != test.source {
				t.Errorf("speaks for %q, want %q", got, test.source)
			}
			if got := o.engine.devices[last].Token.Reveal(); got != test.device {
				t.Errorf("on %q, want %q", got, test.device)
			}
		})
	}
}

// Where no proxy stands between, none added anything: what the person made up for the application to pass on is not it.
func TestS46_WhomAnApplicationSpeaksForWithoutProxies(t *testing.T) {
	o := newOrg(t)
	r := httptest.NewRequest(http.MethodPost, base+"v1/interact", strings.NewReader(asked("client_id", webID, "client_secret", webSecret)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "192.0.2.80:4711"
	o.send(r.WithContext(obs.WithSource(r.Context(), audit.Source{Address: "192.0.2.80"})), header{"X-Forwarded-For": "198.51.100.1, 192.0.2.80, 203.0.113.9"}).ok()
	if got := o.engine.began[len(o.engine.began)-1].Source; got != "203.0.113.9" {
		t.Errorf("speaks for %q", got)
	}
}

func TestS52_AClientAndAddressAskSixtyTimesAMinute(t *testing.T) {
	o := newOrg(t)
	var counted []string
	ok := true
	o.api.Count = func(_ context.Context, what string) (limit.Reading, error) {
		counted = append(counted, what)
		return limit.Reading{OK: ok, Limit: 60, Reset: 7 * time.Second}, nil
	}
	form := asked("response_type", "code")
	o.from("192.0.2.1", base+"v1/authorize", form, nil)
	o.from("2001:db8::1", base+"v1/authorize", asked("response_type", "code", "client_id", webID), nil)
	o.from("192.0.2.1", base+"v1/authorize", asked("response_type", "code", "client_id", "0oa1nobody"), nil)
	if len(counted) != 2 || counted[0] != appID+" 192.0.2.1" || counted[1] != webID+" 2001:db8::" {
		t.Errorf("counted %q", counted)
	}
	ok = false
	a := o.from("192.0.2.1", base+"v1/authorize", form, nil)
	h := a.Header()
	if a.Code != 429 || h.Get("Location") != "" || h.Get("Retry-After") != "7" || h.Get("X-Rate-Limit-Limit") != "60" || h.Get("X-Rate-Limit-Remaining") != "0" || h.Get("X-Rate-Limit-Reset") == "" {
		t.Errorf("%d %v", a.Code, h)
	}
}

// TestS27_AnApplicationThatPushesIsNotOnePerson: what it pushes comes from its one address, whoever sits in front of it.
func TestS27_AnApplicationThatPushesIsNotOnePerson(t *testing.T) {
	o := newOrg(t)
	left := map[string]int{}
	o.api.Count = func(_ context.Context, what string) (limit.Reading, error) {
		left[what]++
		return limit.Reading{OK: left[what] <= 2, Limit: 2, Reset: time.Second}, nil
	}
	push := func(client string, h header) answer {
		pairs := []string{"response_type", "code", "client_id", client}
		if client == webID {
			pairs = append(pairs, "client_secret", webSecret)
		}
		return o.from("192.0.2.80", base+"v1/par", asked(pairs...), h)
	}
	for range 5 {
		push(webID, nil).pushed()
	}
	for _, person := range []string{"203.0.113.9", "203.0.113.10"} {
		told := header{"X-Forwarded-For": person}
		push(webID, told).pushed()
		push(webID, told).pushed()
		push(webID, told).refused(429, oauth.TemporarilyUnavailable, "")
	}
	push(webID, nil).pushed()
	push(appID, nil).pushed()
	push(appID, header{"X-Forwarded-For": "203.0.113.11"}).pushed() // which a public client is not believed
	push(appID, header{"X-Forwarded-For": "203.0.113.12"}).refused(429, oauth.TemporarilyUnavailable, "")
}
