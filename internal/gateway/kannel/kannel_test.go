package kannel

import (
	"io"
	"net/http"
	"testing"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
	"latchkey.dev/internal/secret"
)

const password = secret.Text("marker password")

// said is an answer of Kannel 1.4.5, which calls all of them HTML.
func said(status int, line string) gatewaytest.Reply {
	return gatewaytest.Reply{Status: status, Type: "text/html", Body: line}
}

func config(address string) Config {
	return Config{URL: address + "/cgi-bin/sendsms", Username: "latchkey", Password: password, Now: gatewaytest.Now}
}

func open(t *testing.T, address string) gateway.Gateway {
	t.Helper()
	g, err := New(config(address))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestKannel(t *testing.T) {
	gatewaytest.Run(t, gatewaytest.Carrier{
		Open:    open,
		Secrets: []secret.Text{password},
		Taken:   said(202, "0: Accepted for delivery"),
		Refused: map[string]gatewaytest.Reply{
			"no route":    said(403, "Not routable. Do not try again."),
			"on its list": said(403, "Number(s) has/have been denied by white- and/or black-lists."),
		},
		Passing: map[string]gatewaytest.Reply{
			"wrong password":  said(403, "Authorization failed for sendsms"),
			"carrier is away": said(503, "Temporal failure, try again later."),
			"no sender":       said(400, "Sender missing and no global set, rejected"),
			"unknown number":  said(202, "7: A code nobody wrote down"),
			"numbered no":     said(401, "1: Unknown channel"),
			"no words":        said(202, ""),
		},
		Echo: func(line string) gatewaytest.Reply { return said(400, line) },
	})
}

func TestQueuedIsTaken(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "3: Queued for later delivery")
	})
	if err := open(t, address).Send(t.Context(), gatewaytest.Text()); err != nil {
		t.Error(err)
	}
}

func TestRequest(t *testing.T) {
	full := func(c *Config) {
		c.From, c.SMSC, c.DLRURL = "Acme", "carrier-1", "https://id.example.test/dlr?id={id}&status=%d"
	}
	for name, test := range map[string]struct {
		change func(*Config)
		body   secret.Text
		header map[string]string
	}{
		"least": {func(*Config) {}, gatewaytest.Body, map[string]string{
			"X-Kannel-Username": "latchkey", "X-Kannel-Password": password.Reveal(), "X-Kannel-To": gatewaytest.Number,
			"X-Kannel-Coding": "0", "X-Kannel-Validity": "5", "Content-Type": "text/plain; charset=UTF-8",
			"X-Kannel-From": "", "X-Kannel-Smsc": "", "X-Kannel-Dlr-Mask": "", "X-Kannel-Dlr-Url": "",
		}},
		"most": {full, gatewaytest.Body, map[string]string{
			"X-Kannel-From": "Acme", "X-Kannel-Smsc": "carrier-1", "X-Kannel-Dlr-Mask": "19",
			"X-Kannel-Dlr-Url": "https://id.example.test/dlr?id=msg4TestOnce&status=%d",
		}},
		"in the network's alphabet": {full, "Grüße für 5 €: {739182}", map[string]string{"X-Kannel-Coding": "0"}},
		"in any other":              {full, "Код: 739182", map[string]string{"X-Kannel-Coding": "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(gatewaytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != "/cgi-bin/sendsms" {
					t.Errorf("asked at %s", r.URL)
				}
				for name, want := range test.header {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				if body, _ := io.ReadAll(r.Body); string(body) != test.body.Reveal() {
					t.Errorf("sent %q", body)
				}
				w.WriteHeader(http.StatusAccepted)
				_, _ = io.WriteString(w, "0: Accepted for delivery")
			}))
			test.change(&c)
			g, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			text := gatewaytest.Text()
			text.Body = test.body
			if err := g.Send(t.Context(), text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestErrorsSayWhatKannelSaid(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "Number(s) has/have been denied by white- and/or black-lists. Denied receivers are: "+gatewaytest.Number)
	})
	err := open(t, address).Send(t.Context(), gatewaytest.Text())
	want := "kannel: answered 403: Number(s) has/have been denied by white- and/or black-lists. Denied receivers are: [redacted]: " +
		"gateway: refused the number"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := New(Config{})
	gatewaytest.WantProblems(t, err, "URL names no host", "user name and a password")
	_, err = New(Config{
		URL: "http://kannel.example.test:13013/cgi-bin/sendsms", Username: "ada\n", Password: "märker", From: "ä", SMSC: "a\tb", DLRURL: "dlr",
	})
	gatewaytest.WantProblems(t, err, "URL has to be https", "user name holds", "password holds", "sender holds", "SMSC holds", "DLR URL")
}
