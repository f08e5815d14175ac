package twilio

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
)

const address = "https://id.example/messages/report/twilio/msg1?token=t"

// signedBy is a status callback as Twilio signs it: the address, and then each parameter in the order of names.
func signedBy(secret, to, status string) gateway.Report {
	form := url.Values{"MessageSid": {"SM1"}, "MessageStatus": {status}, "AccountSid": {account}}
	sum := hmac.New(sha1.New, []byte(secret))
	sum.Write([]byte(to + "AccountSid" + account + "MessageSid" + "SM1" + "MessageStatus" + status))
	return gateway.Report{
		Address: address, Body: []byte(form.Encode()),
		Header: http.Header{"X-Twilio-Signature": {base64.StdEncoding.EncodeToString(sum.Sum(nil))}},
	}
}

func TestReports(t *testing.T) {
	own := func(status string) gateway.Report { return signedBy(token.Reveal(), address, status) }
	changed := own("delivered")
	changed.Body = append(changed.Body, "&Extra=1"...)
	unsigned := own("delivered")
	unsigned.Header = nil
	for name, test := range map[string]struct {
		report gateway.Report
		want   gateway.Outcome
		err    error
	}{
		"delivered":          {own("delivered"), gateway.Arrived, nil},
		"undelivered":        {own("undelivered"), gateway.Lost, nil},
		"failed":             {own("failed"), gateway.Lost, nil},
		"sent":               {own("sent"), gateway.Pending, nil},
		"nothing":            {own(""), gateway.Pending, gateway.ErrForged},
		"another's secret":   {signedBy("another", address, "delivered"), gateway.Pending, gateway.ErrForged},
		"for another text":   {signedBy(token.Reveal(), address+"x", "delivered"), gateway.Pending, gateway.ErrForged},
		"changed on its way": {changed, gateway.Pending, gateway.ErrForged},
		"not signed":         {unsigned, gateway.Pending, gateway.ErrForged},
	} {
		g := open()(t, "https://twilio.example").(gateway.Reporter)
		if got, err := g.Read(test.report); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestTheReportAddressGoesAlong(t *testing.T) {
	text := gatewaytest.Text()
	text.Report = address
	g := open()(t, "https://twilio.example").(*Gateway)
	if got := g.form(text).Get("StatusCallback"); got != address {
		t.Errorf("asked to report to %q", got)
	}
	text.Report = ""
	if g.form(text).Has("StatusCallback") {
		t.Error("asked to report to nobody")
	}
}
