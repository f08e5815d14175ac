package awssms

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
	"latchkey.dev/internal/secret"
)

const secretKey = secret.Text("marker/Utn+FEMI/K7MDENGbPxRfiCY")

const taken = `{"MessageId":"0a1b2c3d-example"}`

func exception(status int, kind, reason, message string) gatewaytest.Reply {
	said, _ := json.Marshal(map[string]any{"__type": kind, "Reason": reason, "Message": message})
	return gatewaytest.Reply{Status: status, Type: "application/x-amz-json-1.0", Body: string(said)}
}

func config(address string) Config {
	return Config{URL: address, Region: "eu-central-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secretKey, Now: gatewaytest.Now}
}

func open(t *testing.T, address string) gateway.Gateway {
	t.Helper()
	g, err := New(config(address))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAWS(t *testing.T) {
	gatewaytest.Run(t, gatewaytest.Carrier{
		Open:    open,
		Secrets: []secret.Text{secretKey},
		Taken:   gatewaytest.Reply{Status: 200, Type: "application/x-amz-json-1.0", Body: taken},
		Refused: map[string]gatewaytest.Reply{
			"stopped":   exception(400, "ConflictException", "DESTINATION_PHONE_NUMBER_OPTED_OUT", "Opted out"),
			"sandbox":   exception(400, "ConflictException", "DESTINATION_PHONE_NUMBER_NOT_VERIFIED", "Not verified"),
			"country":   exception(400, "com.amazonaws.sms#ConflictException", "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION", "Blocked"),
			"no sender": exception(400, "ValidationException", "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY", "Not there"),
			"no number": {Status: 400, Body: `{"__type":"ValidationException","Reason":"CANNOT_PARSE","message":"1 validation error",
				"Fields":[{"Name":"DestinationPhoneNumber","Message":"cannot be parsed"}]}`},
		},
		Passing: map[string]gatewaytest.Reply{
			"throttled":     exception(400, "ThrottlingException", "", "Rate exceeded"),
			"spent":         exception(400, "ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT", "Spend limit reached"),
			"not permitted": exception(400, "AccessDeniedException", "INSUFFICIENT_ACCOUNT_REPUTATION", "No"),
			"wrong key":     exception(403, "InvalidSignatureException", "", "The request signature we calculated does not match"),
			"internal":      exception(500, "InternalServerException", "", "Oops"),
			"another field": {Status: 400, Body: `{"__type":"ValidationException","Reason":"FIELD_VALIDATION_FAILED","Fields":[{"Name":"MessageBody"}]}`},
			"no message":    {Status: 200, Body: `{}`},
		},
		Echo: func(said string) gatewaytest.Reply { return exception(400, said, said, said) },
	})
}

// What goes over the wire, by the API reference of SendTextMessage.
func TestRequest(t *testing.T) {
	c := config("")
	c.Origination, c.ConfigurationSet, c.ProtectConfiguration = "pool-1", "reports", "protect-1"
	c.URL = gatewaytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/" || r.Header.Get("X-Amz-Target") != "PinpointSMSVoiceV2.SendTextMessage" ||
			r.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		again := http.Header{"X-Amz-Target": r.Header["X-Amz-Target"], "Content-Type": r.Header["Content-Type"]}
		u := *r.URL
		u.Host = r.Host
		signer{"AKIDEXAMPLE", secretKey, "eu-central-1", "sms-voice"}.sign(r.Method, &u, again, body, gatewaytest.Now())
		if got, want := r.Header.Get("Authorization"), again.Get("Authorization"); got != want {
			t.Errorf("signed %s, and what arrived is signed %s", got, want)
		}
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		for field, want := range map[string]any{
			"DestinationPhoneNumber": gatewaytest.Number, "MessageBody": gatewaytest.Body, "MessageType": "TRANSACTIONAL", "TimeToLive": 300.0,
			"OriginationIdentity": "pool-1", "ConfigurationSetName": "reports", "ProtectConfigurationId": "protect-1",
		} {
			if got[field] != want {
				t.Errorf("%s is %v, want %v", field, got[field], want)
			}
		}
		_, _ = io.WriteString(w, taken)
	})
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Send(t.Context(), gatewaytest.Text()); err != nil {
		t.Error(err)
	}
}

func TestErrorsSayWhatAWSSaid(t *testing.T) {
	address := gatewaytest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, exception(400, "ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT", "Limit of 1 USD").Body)
	})
	err := open(t, address).Send(t.Context(), gatewaytest.Text())
	want := "awssms: answered 400 ServiceQuotaExceededException/MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT: Limit of # USD"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := New(Config{})
	gatewaytest.WantProblems(t, err, "region is missing", "access key ID", "secret access key")
	_, err = New(Config{Region: "eu-central-1.evil.test/", AccessKeyID: "a/b", SecretAccessKey: secretKey})
	gatewaytest.WantProblems(t, err, "region", "access key ID")
	c := config("http://aws.example.test")
	gatewaytest.WantProblems(t, c.Check(), "URL has to be https")
}

func TestEndpointOfTheRegion(t *testing.T) {
	for region, want := range map[string]string{
		"eu-central-1":  "https://sms-voice.eu-central-1.amazonaws.com/",
		"us-gov-west-1": "https://sms-voice.us-gov-west-1.amazonaws.com/",
		"cn-north-1":    "https://sms-voice.cn-north-1.amazonaws.com.cn/",
	} {
		c := config("")
		c.Region = region
		if err := c.Check(); err != nil || !strings.HasPrefix(c.url(), want) {
			t.Errorf("%s: %s, %v", region, c.url(), err)
		}
	}
}
