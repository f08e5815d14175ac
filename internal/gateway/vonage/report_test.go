package vonage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
)

// signedBy is a status webhook as Vonage signs it.
func signedBy(secret, alg string, at time.Time, body string) gateway.Report {
	encode := base64.RawURLEncoding.EncodeToString
	hash := sha256.Sum256([]byte(body))
	token := encode(fmt.Appendf(nil, `{"alg":%q,"typ":"JWT"}`, alg)) + "." +
		encode(fmt.Appendf(nil, `{"iat":%d,"iss":"Vonage","payload_hash":%q}`, at.Unix(), hex.EncodeToString(hash[:])))
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(token))
	return gateway.Report{Body: []byte(body), Header: http.Header{"Authorization": {"Bearer " + token + "." + encode(sum.Sum(nil))}}}
}

func TestReports(t *testing.T) {
	const secret = "marker-signature"
	now := gatewaytest.Now()
	own := func(status string) gateway.Report {
		return signedBy(secret, "HS256", now, fmt.Sprintf(`{"message_uuid":"u","status":%q}`, status))
	}
	changed := own("delivered")
	changed.Body = []byte(`{"message_uuid":"u","status":"rejected"}`)
	g, err := New(Config{APIKey: "key", APISecret: "secret", From: "Acme", SignatureSecret: secret, Now: gatewaytest.Now})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		report gateway.Report
		want   gateway.Outcome
		err    error
	}{
		"delivered":          {own("delivered"), gateway.Arrived, nil},
		"undeliverable":      {own("undeliverable"), gateway.Lost, nil},
		"rejected":           {own("rejected"), gateway.Lost, nil},
		"submitted":          {own("submitted"), gateway.Pending, nil},
		"nothing":            {own(""), gateway.Pending, gateway.ErrForged},
		"changed on its way": {changed, gateway.Pending, gateway.ErrForged},
		"another's secret":   {signedBy("another", "HS256", now, `{"status":"delivered"}`), gateway.Pending, gateway.ErrForged},
		"another algorithm":  {signedBy(secret, "none", now, `{"status":"delivered"}`), gateway.Pending, gateway.ErrForged},
		"of yesterday":       {signedBy(secret, "HS256", now.Add(-24*time.Hour), `{"status":"delivered"}`), gateway.Pending, gateway.ErrForged},
		"not signed":         {gateway.Report{Body: []byte(`{"status":"delivered"}`)}, gateway.Pending, gateway.ErrForged},
	} {
		if got, err := g.Read(test.report); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
