package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/gatewaytest"
	"latchkey.dev/internal/secret"
)

func TestReports(t *testing.T) {
	const ours, theirs = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "whsec_eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg="
	g, err := New(Config{URL: "https://sms.example", Secrets: []secret.Text{ours}, Now: gatewaytest.Now})
	if err != nil {
		t.Fatal(err)
	}
	signed := func(by secret.Text, at time.Time, body string) gateway.Report {
		k, err := keyOf(by)
		if err != nil {
			t.Fatal(err)
		}
		return gateway.Report{Body: []byte(body), Header: http.Header{
			"Webhook-Id": {"1"}, "Webhook-Timestamp": {fmt.Sprint(at.Unix())}, "Webhook-Signature": {"v1,AAAA " + k.sign("1", at, []byte(body))},
		}}
	}
	now := gatewaytest.Now()
	changed := signed(ours, now, `{"status":"delivered"}`)
	changed.Body = []byte(`{"status":"undelivered"}`)
	for name, test := range map[string]struct {
		report gateway.Report
		want   gateway.Outcome
		err    error
	}{
		"delivered":          {signed(ours, now, `{"status":"delivered"}`), gateway.Arrived, nil},
		"undelivered":        {signed(ours, now, `{"status":"undelivered"}`), gateway.Lost, nil},
		"something else":     {signed(ours, now, `{"status":"queued"}`), gateway.Pending, nil},
		"nothing":            {signed(ours, now, `{}`), gateway.Pending, gateway.ErrForged},
		"no JSON":            {signed(ours, now, `delivered`), gateway.Pending, gateway.ErrForged},
		"another's secret":   {signed(theirs, now, `{"status":"delivered"}`), gateway.Pending, gateway.ErrForged},
		"changed on its way": {changed, gateway.Pending, gateway.ErrForged},
		"of an hour ago":     {signed(ours, now.Add(-time.Hour), `{"status":"delivered"}`), gateway.Pending, gateway.ErrForged},
		"not signed":         {gateway.Report{Body: []byte(`{"status":"delivered"}`)}, gateway.Pending, gateway.ErrForged},
	} {
		if got, err := g.Read(test.report); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
