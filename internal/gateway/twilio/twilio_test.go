package twilio

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
	"latchkey.dev/internal/secret"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	key     = "SK0123456789abcdef0123456789abcdef"
	service = "MG0123456789abcdef0123456789abcdef"
	token   = secret.Text("marker-token 0f1e2d3c&4b5a")
)

// taken is the shape of an answer of the API; the fields that nobody reads are fewer here.
const taken = `{"account_sid":"` + account + `","api_version":"2010-04-01","body":"...","date_created":"Thu, 05 Mar 2026 10:00:00 +0000",
"date_sent":null,"direction":"outbound-api","error_code":null,"error_message":null,"from":"+15557122661","messaging_service_sid":null,
"num_media":"0","num_segments":"1","price":null,"price_unit":null,"sid":"SM0123456789abcdef0123456789abcdef","status":"queued",
"to":"+15558675310","uri":"/2010-04-01/Accounts/AC/Messages/SM.json"}`

func problem(status, code int, message string) gatewaytest.Reply {
	said, _ := json.Marshal(map[string]any{
		"code": code, "message": message, "status": status, "more_info": fmt.Sprintf("https://www.twilio.com/docs/errors/%d", code),
	})
	return gatewaytest.Reply{Status: status, Body: string(said)}
}

func open(change ...func(*Config)) func(*testing.T, string) gateway.Gateway {
	return func(t *testing.T, address string) gateway.Gateway {
		t.Helper()
		c := Config{URL: address, AccountSID: account, Secret: token, From: "+15557122661", Now: gatewaytest.Now}
		for _, f := range change {
			f(&c)
		}
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
}

func TestTwilio(t *testing.T) {
	gatewaytest.Run(t, gatewaytest.Carrier{
		Open:    open(),
		Secrets: []secret.Text{token},
		Taken:   gatewaytest.Reply{Status: 201, Body: taken},
		Refused: map[string]gatewaytest.Reply{
			"no number":       problem(400, 21211, "Invalid 'To' Phone Number: +1202555XXXX"),
			"landline":        problem(400, 21614, "'To' number is not a valid mobile number"),
			"stopped":         problem(400, 21610, "Attempt to send to unsubscribed recipient"),
			"region":          problem(403, 21408, "Permission to send an SMS has not been enabled for the region"),
			"failed at birth": {Status: 201, Body: `{"sid":"SM1","status":"failed","error_code":30006}`},
		},
		Passing: map[string]gatewaytest.Reply{
			"throttled":       problem(429, 20429, "Too Many Requests"),
			"wrong token":     problem(401, 20003, "Authenticate"),
			"queue is full":   problem(400, 21611, "This From number has exceeded the maximum number of queued messages"),
			"wrong sender":    problem(400, 21606, "The From phone number is not a valid message-capable number for this destination"),
			"down":            problem(500, 20500, "Internal Server Error"),
			"failed at birth": {Status: 201, Body: `{"sid":"SM1","status":"failed","error_code":30001}`},
			"no message":      {Status: 201, Body: `{"status":"queued"}`},
		},
		Echo: func(said string) gatewaytest.Reply { return problem(400, 21999, said) },
	})
}

// What goes over the wire, by the API reference of the Message resource.
func TestRequest(t *testing.T) {
	tests := map[string]struct {
		change         func(*Config)
		user, password string
		form           url.Values
	}{
		"from a number, as the account": {func(*Config) {}, account, token.Reveal(), url.Values{"From": {"+15557122661"}}},
		"by a service, as a key": {
			func(c *Config) { c.KeySID, c.From, c.MessagingServiceSID = key, "", service },
			key, token.Reveal(), url.Values{"MessagingServiceSid": {service}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			address := gatewaytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				if want := "/2010-04-01/Accounts/" + account + "/Messages.json"; r.URL.Path != want {
					t.Errorf("path %s, want %s", r.URL.Path, want)
				}
				if user, password, _ := r.BasicAuth(); user != test.user || password != test.password {
					t.Errorf("signed in as %s, %s", user, password)
				}
				want := url.Values{"To": {gatewaytest.Number}, "Body": {gatewaytest.Body}, "ValidityPeriod": {"300"}}
				maps.Copy(want, test.form)
				if err := r.ParseForm(); err != nil || r.PostForm.Encode() != want.Encode() {
					t.Errorf("form %v (%v), want %v", r.PostForm, err, want)
				}
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte(taken))
			})
			if err := open(test.change)(t, address).Send(t.Context(), gatewaytest.Text()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestErrorsSayWhatTwilioSaid(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(problem(400, 21211, "Invalid 'To' Phone Number: "+gatewaytest.Number).Body))
	})
	err := open()(t, address).Send(t.Context(), gatewaytest.Text())
	want := "twilio: answered 400 21211: Invalid 'To' Phone Number: [redacted]: gateway: refused the number"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := New(Config{})
	gatewaytest.WantProblems(t, err, "account SID", "secret is missing", "sender or a messaging service")
	_, err = New(Config{
		URL: "http://api.example.test", AccountSID: key, KeySID: account, Secret: token, From: "x", MessagingServiceSID: "x",
	})
	gatewaytest.WantProblems(t, err, "URL has to be https", "account SID", "API key", "not both", "messaging service is MG")
	if strings.Contains(err.Error(), token.Reveal()) {
		t.Errorf("S-72: a problem holds the token: %v", err)
	}
}
