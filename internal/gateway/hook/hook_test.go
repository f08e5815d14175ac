package hook

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/secret"
)

const hookKey = secret.Text("Basic bWFya2VyOm1hcmtlcg==")

func action(status string) gatewaytest.Reply {
	return gatewaytest.Reply{Status: 200, Body: fmt.Sprintf(`{"commands":[{"type":"com.okta.telephony.action","value":[
		{"status":%q,"provider":"VONAGE","transactionId":"SM0123","transactionMetadata":"Duration=300ms"}]}]}`, status)}
}

func failure(status int, summary string) gatewaytest.Reply {
	quoted, _ := json.Marshal(summary)
	return gatewaytest.Reply{Status: status, Body: fmt.Sprintf(`{"error":{"errorSummary":%s,"errorCauses":[
		{"errorSummary":"Provider could not deliver OTP","reason":"The content is not supported","location":"South Africa"}]}}`, quoted)}
}

func open(t *testing.T, address string) gateway.Gateway {
	t.Helper()
	g, err := New(Config{
		URL: address + "/hooks/marker-in-the-path", Headers: courier.Headers{"Authorization": hookKey},
		Source: "https://id.example.test/hooks/cal1", Locale: "EN-US", Now: gatewaytest.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestHook(t *testing.T) {
	gatewaytest.Run(t, gatewaytest.Carrier{
		Open:    open,
		Secrets: []secret.Text{hookKey, "bWFya2VyOm1hcmtlcg==", "marker-in-the-path"},
		Taken:   action("SUCCESSFUL"),
		Passing: map[string]gatewaytest.Reply{
			"failed":                action("FAILED"),
			"unknown status":        action("MAYBE"),
			"error":                 failure(200, "Failed to deliver SMS OTP to test.user@example.com"),
			"error with a status":   failure(400, "Failed to deliver SMS OTP"),
			"yes, but not by HTTP":  {Status: 500, Body: action("SUCCESSFUL").Body},
			"command for another":   {Status: 200, Body: strings.ReplaceAll(action("SUCCESSFUL").Body, "telephony", "tokens")},
			"command without value": {Status: 200, Body: `{"commands":[{"type":"com.okta.telephony.action"}]}`},
			"nothing":               {Status: 204},
			"unauthorized":          {Status: 401, Type: "text/plain", Body: "Unauthorized"},
		},
		Echo: func(said string) gatewaytest.Reply { return failure(200, said) },
	})
}

func TestPendingIsTaken(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, action("PENDING").Body) })
	if err := open(t, address).Send(t.Context(), gatewaytest.Text()); err != nil {
		t.Error(err)
	}
}

// What goes over the wire: every member of the reference's sample, with values of ours.
func TestRequest(t *testing.T) {
	const want = `{"eventId":"msg4TestOnce","eventTime":"2026-03-04T05:06:07.000Z","eventType":"com.okta.telephony.provider",` +
		`"eventTypeVersion":"1.0","contentType":"application/json","cloudEventVersion":"0.1",` +
		`"source":"https://id.example.test/hooks/cal1","requestType":"com.okta.user.telephony.mfa-verification","data":{` +
		`"context":{"request":{"id":"msg4TestOnce","method":"POST","url":{"value":""},"ipAddress":""}},` +
		`"userProfile":{"firstName":"","lastName":"","login":"","userId":""},` +
		`"messageProfile":{"msgTemplate":"Marker Works: 739182 is your code for 5 minutes. Do not share it.\n\n@login.example.test #739182",` +
		`"phoneNumber":"+12025550143","otpExpires":"2026-03-04T05:11:07.000Z","deliveryChannel":"SMS","otpCode":"739182","locale":"EN-US"}}}`
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != want {
			t.Errorf("sent\n%s, want\n%s", body, want)
		}
		if r.Header.Get("Authorization") != hookKey.Reveal() || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = io.WriteString(w, action("SUCCESSFUL").Body)
	})
	if err := open(t, address).Send(t.Context(), gatewaytest.Text()); err != nil {
		t.Error(err)
	}
}

func TestCodeIsFoundInTheText(t *testing.T) {
	for body, want := range map[string]string{
		"Your code is 12345.\n\n@id.example.test #739182":                      "739182",
		"Your code is 739182.\n\n@id.example.test #739182 %frame.example.test": "739182",
		"Kod: 739182. 5 minut.":                    "739182",
		"Call 5550143 or 5550144":                  "",
		"Your password was changed.":               "",
		"@id.example.test #739182\nand 1234 below": "",
	} {
		if got := codeIn(body); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

// The texts that are really sent, whatever they are made of.
func TestCodeIsFoundInEveryNotice(t *testing.T) {
	for _, lang := range []msg.Lang{msg.English, msg.German, msg.French, msg.Spanish} {
		for _, host := range []string{"id.example.test", ""} {
			text := notice.Code{App: "Acme 24", Code: "739182", Lifetime: 5 * time.Minute, Host: host, Lang: lang}.Text()
			if got := codeIn(text.Reveal()); got != "739182" {
				t.Errorf("%q: %q", text.Reveal(), got)
			}
		}
	}
}

func TestErrorsSayWhatTheHookSaid(t *testing.T) {
	for reply, want := range map[gatewaytest.Reply]string{
		failure(200, "Failed to deliver"): "hook: answered 200: Failed to deliver",
		action("FAILED"):                  "hook: answered 200 FAILED: VONAGE Duration=#ms",
	} {
		address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, reply.Body) })
		if err := open(t, address).Send(t.Context(), gatewaytest.Text()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := New(Config{})
	gatewaytest.WantProblems(t, err, "URL names no host", "header with its key")
	_, err = New(Config{URL: "http://hook.example.test", Headers: courier.Headers{"Authorization": "a\nmarker", "Host": "marker"}})
	gatewaytest.WantProblems(t, err, "URL has to be https", "Authorization", "Host")
	if strings.Contains(err.Error(), "marker") {
		t.Errorf("S-72: a problem holds a secret: %v", err)
	}
}
