package vonage

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
	"latchkey.dev/internal/secret"
)

const apiSecret = secret.Text("marker-secret/0f1e2d3c")

const taken = `{"message_uuid":"aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"}`

func problem(status int, code, title, detail string) gatewaytest.Reply {
	said, _ := json.Marshal(map[string]any{
		"type": "https://developer.vonage.com/api-errors/messages#" + code, "title": title, "detail": detail,
		"instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf",
	})
	return gatewaytest.Reply{Status: status, Type: "application/problem+json", Body: string(said)}
}

func open(t *testing.T, address string) gateway.Gateway {
	t.Helper()
	g, err := New(Config{URL: address + "/", APIKey: "0a1b2c3d", APISecret: apiSecret, From: "+447700900001", Now: gatewaytest.Now})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestVonage(t *testing.T) {
	gatewaytest.Run(t, gatewaytest.Carrier{
		Open:    open,
		Secrets: []secret.Text{apiSecret},
		Taken:   gatewaytest.Reply{Status: 202, Body: taken},
		Refused: map[string]gatewaytest.Reply{
			"unknown prefix": problem(422, "1040", "Invalid message", "an unrecognised prefix"),
			"barred":         problem(422, "1050", "Number barred", "may not receive messages"),
			"not on a list":  problem(403, "1160", "Non White-listed Destination", "not in your list"),
			"stopped":        problem(422, "1240", "Illegal Number", "opted out"),
			"no recipient":   problem(422, "1430", "Invalid recipient", "The `to` parameter is invalid for the given channel."),
			"invalid to": {Status: 422, Body: `{"type":"https://developer.vonage.com/api-errors/messages#1020","title":"Invalid params",
				"detail":"The value of one or more parameters is invalid.","invalid_parameters":[{"field":"to","reason":"invalid"}]}`},
		},
		Passing: map[string]gatewaytest.Reply{
			"throttled":       problem(429, "1000", "Throttled", "You have exceeded the submission capacity"),
			"internal":        problem(500, "1030", "Internal error", ""),
			"no credit":       problem(402, "1070", "Partner quota exceeded", ""),
			"sender":          problem(422, "1120", "Invalid sender", "The `from` parameter is invalid."),
			"wrong secret":    {Status: 401, Body: `{"type":"https://developer.vonage.com/api-errors#unauthorized","title":"Unauthorized","detail":"no"}`},
			"numbered titles": {Status: 422, Body: `{"type":"https://developer.vonage.com/api-errors/messages#1000","title":1000}`},
			"invalid from":    {Status: 422, Body: `{"type":"#1020","title":"Invalid params","invalid_parameters":[{"name":"from"}]}`},
		},
		Echo: func(said string) gatewaytest.Reply { return problem(422, said, said, said) },
	})
}

// What goes over the wire, by the API reference.
func TestRequest(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/messages" {
			t.Errorf("path %s", r.URL.Path)
		}
		if user, password, _ := r.BasicAuth(); user != "0a1b2c3d" || password != apiSecret.Reveal() {
			t.Errorf("signed in as %s, %s", user, password)
		}
		var got map[string]any
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		for field, want := range map[string]any{
			"message_type": "text", "channel": "sms", "to": strings.TrimPrefix(gatewaytest.Number, "+"), "from": "447700900001",
			"text": gatewaytest.Body, "ttl": 300.0, "client_ref": "msg4TestOnce",
		} {
			if got[field] != want {
				t.Errorf("%s is %v, want %v", field, got[field], want)
			}
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(taken))
	})
	if err := open(t, address).Send(t.Context(), gatewaytest.Text()); err != nil {
		t.Error(err)
	}
}

func TestErrorsSayWhatVonageSaid(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(problem(429, "1000", "Throttled", "wait 3 s").Body))
	})
	err := open(t, address).Send(t.Context(), gatewaytest.Text())
	if want := "vonage: answered 429 1000: Throttled: wait # s"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := New(Config{URL: "ftp://x"})
	gatewaytest.WantProblems(t, err, "URL has to be https", "API key is missing", "API secret is missing", "need a sender")
	_, err = New(Config{APIKey: "a:b", APISecret: apiSecret, From: "Acme"})
	gatewaytest.WantProblems(t, err, "colon")
}
