package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
	"latchkey.dev/internal/secret"
)

const (
	newSecret = secret.Text("whsec_bWFya2VyIG1hcmtlciBtYXJrZXIgbWFya2Vy")
	oldSecret = secret.Text("whsec_b2xkIG1hcmtlciBvbGQgbWFya2VyIG9sZCBtYXJrZXI=")
	apiKey    = secret.Text("Bearer marker-key-0f1e2d3c")
)

func verdict(httpStatus int, status, message string) gatewaytest.Reply {
	said, _ := json.Marshal(map[string]any{"status": status, "message": message})
	return gatewaytest.Reply{Status: httpStatus, Body: string(said)}
}

func open(t *testing.T, address string) gateway.Gateway {
	t.Helper()
	g, err := New(Config{
		URL: address + "/hook?code=marker-in-the-address", Secrets: []secret.Text{newSecret, oldSecret},
		Headers: courier.Headers{"Authorization": apiKey}, Now: gatewaytest.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWebhook(t *testing.T) {
	gatewaytest.Run(t, gatewaytest.Carrier{
		Open:    open,
		Secrets: []secret.Text{newSecret, oldSecret, apiKey, "marker-key-0f1e2d3c", "marker-in-the-address"},
		Taken:   verdict(202, "accepted", ""),
		Refused: map[string]gatewaytest.Reply{
			"politely": verdict(200, "refused", "landline"),
			"bluntly":  verdict(422, "refused", "landline"),
		},
		Passing: map[string]gatewaytest.Reply{
			"failed":                     verdict(200, "failed", "carrier is down"),
			"validation of a framework":  {Status: 422, Body: `{"detail":[{"loc":["body","to"],"msg":"field required"}]}`},
			"wrong signature":            verdict(401, "unauthorized", ""),
			"throttled":                  verdict(429, "", ""),
			"accepted, but unavailable":  verdict(503, "accepted", ""),
			"a page instead of the hook": {Status: 404, Type: "text/plain", Body: "404 page not found"},
		},
		Echo:     func(said string) gatewaytest.Reply { return verdict(500, said, said) },
		Channels: true,
	})
}

func TestNothingMoreToSayIsYes(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if err := open(t, address).Send(t.Context(), gatewaytest.Text()); err != nil {
		t.Error(err)
	}
}

// The vector that the Standard Webhooks libraries share.
func TestSignatureOfTheStandard(t *testing.T) {
	k, err := keyOf("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := k.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signed %s, want %s", got, want)
	}
}

func TestRequest(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		want := `{"type":"message.send","timestamp":"2026-03-04T05:06:07Z","data":{"id":"msg4TestOnce","channel":"sms",` +
			`"to":"+12025550143","body":"Marker Works: 739182 is your code for 5 minutes. Do not share it.\n\n@login.example.test #739182",` +
			`"not_after":"2026-03-04T05:11:07Z"}}`
		if string(body) != want {
			t.Errorf("sent\n%s, want\n%s", body, want)
		}
		if at := r.Header.Get("Webhook-Timestamp"); at != "1772600767" {
			t.Errorf("sent at %s", at)
		}
		for _, name := range []string{"Webhook-Id", "Idempotency-Key"} {
			if r.Header.Get(name) != "msg4TestOnce" {
				t.Errorf("%s is %q", name, r.Header.Get(name))
			}
		}
		if r.Header.Get("Authorization") != apiKey.Reveal() {
			t.Error("the configured header is missing")
		}
		signatures := strings.Fields(r.Header.Get("Webhook-Signature"))
		if len(signatures) != 2 {
			t.Fatalf("%d signatures, want one by each secret", len(signatures))
		}
		for i, s := range []secret.Text{newSecret, oldSecret} { // as the far end would check them
			key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), "whsec_"))
			h := hmac.New(sha256.New, key)
			_, _ = io.WriteString(h, "msg4TestOnce.1772600767."+string(body))
			if want := "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil)); signatures[i] != want {
				t.Errorf("signature %d is %s, want %s", i+1, signatures[i], want)
			}
		}
		w.WriteHeader(http.StatusAccepted)
	})
	if err := open(t, address).Send(t.Context(), gatewaytest.Text()); err != nil {
		t.Error(err)
	}
}

func TestErrorsSayWhatTheFarEndSaid(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, verdict(500, "failed", "no route to carrier 7").Body)
	})
	err := open(t, address).Send(t.Context(), gatewaytest.Text())
	if want := "webhook: answered 500 failed: no route to carrier #"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := New(Config{})
	gatewaytest.WantProblems(t, err, "URL names no host", "secret is missing")
	_, err = New(Config{
		URL: "http://hook.example.test", Secrets: []secret.Text{newSecret, "whsec_c2hvcnQ=", "marker marker marker"},
		Headers: courier.Headers{"Content-Type": "text/marker", "X Y": "marker"},
	})
	gatewaytest.WantProblems(t, err, "URL has to be https", "secret 2 is not whsec_", "secret 3 is not whsec_", "Content-Type", "X Y")
	if strings.Contains(err.Error(), "marker") {
		t.Errorf("S-72: a problem holds a secret: %v", err)
	}
}
