package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sending is a complete messages section, with a secret in a variable.
const sending = `messages:
  gateways:
    - name: big
      twilio: {account_sid: AC0123456789abcdef0123456789abcdef, secret: {env: THE_SECRET}, from: "+15557122661"}
    - {name: own, webhook: {url: https://sms.example/send, secrets: [{env: THE_WEBHOOK_SECRET}], headers: {X-Key: {env: THE_SECRET}}}}
    - {name: carrier, kannel: {url: "http://127.0.0.1:13013/cgi-bin/sendsms", username: latchkey, password: {env: THE_SECRET}}}
  routes:
    - {countries: [49, NO], through: [own, big]}
    - {through: [big, carrier]}
  currency: EUR
  prices:
    - {price: 0.1}
    - {countries: [49], gateway: own, price: 0.075}
  budgets:
    country: {hour: 100, day: 500, day_cost: 20}
    countries: [{countries: [49], budget: {hour: 2000, day: 9000}}]
  mail: {host: mail.example, from: Acme <no-reply@acme.example>}
`

func setSecrets(t *testing.T) {
	t.Setenv("THE_SECRET", "s3cret")
	t.Setenv("THE_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
}

func TestMessages(t *testing.T) {
	setSecrets(t)
	c, err := parse("latchkey.yaml", []byte(strings.Replace(complete(t), "countries: [1, 49]", "countries: [1, 49, NO, JM]", 1)+sending))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Countries.Codes(); !reflect.DeepEqual(got, []int{1, 49}) {
		t.Errorf("the codes are %v", got)
	}
	if got := c.Countries.Regions(); !reflect.DeepEqual(got, []string{"NO", "JM"}) {
		t.Errorf("the regions are %v", got)
	}
	m := c.Messages
	for i, want := range []string{"big", "own", "carrier"} {
		if g, err := m.Gateways[i].Open(); err != nil || g.Name() != want {
			t.Errorf("gateway %d is %v, %v", i, g, err)
		}
	}
	if m.Prices[1].Price != 75_000 || m.Budgets.Country.DayCost != 20_000_000 {
		t.Errorf("read %+v", m)
	}
	if m.Budgets.Total.Hour != 1000 || m.Budgets.Total.Day != 5000 {
		t.Errorf("S-35: the default budget is %+v", m.Budgets.Total)
	}
	if _, err := m.Mail.Open(); err != nil {
		t.Error(err)
	}
	if m.ReportsTo("https://id.example") != "https://id.example" {
		t.Errorf("reports go to %q", m.ReportsTo("https://id.example"))
	}
}

func TestMessagesNameEveryProblem(t *testing.T) {
	setSecrets(t)
	tests := map[string]struct {
		from, to string
		want     string
	}{
		"two kinds in one":           {"- {name: own, webhook: {", "- {name: own, aws: {}, webhook: {", "messages.gateways[1]: says twilio"},
		"no kind":                    {"- {name: own, webhook: {url: https://sms.example/send, secrets: [{env: THE_WEBHOOK_SECRET}], headers: {X-Key: {env: THE_SECRET}}}}", "- {name: own}", "messages.gateways[1]: says twilio"},
		"a gateway's own complaint":  {"secrets: [{env: THE_WEBHOOK_SECRET}]", "secrets: [{env: THE_SECRET}]", "latchkey.yaml:11: messages.gateways[1].webhook: secret 1 is not whsec_"},
		"two of one name":            {"name: own,", "name: big,", "two gateways"},
		"a name that is none":        {"name: own,", "name: Our Own,", "is no name"},
		"a route to nobody":          {"through: [own, big]", "through: [own, bog]", `latchkey.yaml:14: messages.routes[0].through: there is no gateway "bog"`},
		"a route through nobody":     {"through: [own, big]", "through: []", "names no gateway"},
		"two routes for a country":   {"- {through: [big, carrier]}", "- {countries: [49], through: [big]}", "two routes for 49"},
		"two routes for the rest":    {"countries: [49, NO], through", "through", "two routes are for all"},
		"no country":                 {"countries: [49, NO], through", "countries: [Germany], through", `"Germany" is not a calling code like 49 or a region like JM`},
		"no amount":                  {"price: 0.1}", "price: cheap}", "is not an amount like 0.075"},
		"too little of an amount":    {"price: 0.1}", "price: 0.00000001}", "is not an amount"},
		"a price of nobody":          {"gateway: own", "gateway: owl", `there is no gateway "owl"`},
		"S-35 no end to a budget":    {"country: {hour: 100, day: 500, day_cost: 20}", "country: {hour: 0, day: 500}", "(S-35)"},
		"no currency":                {"currency: EUR", "currency: euros", "three capital letters"},
		"mail without a sender":      {", from: Acme <no-reply@acme.example>", "", "messages.mail: mail needs a sender"},
		"reports to nowhere":         {"  currency", "  reports: id.example\n  currency", "messages.reports"},
		"S-31 a list of no meaning":  {"countries: [49, NO], through", "countries: [0049], through", "is not a calling code"},
		"a secret that is not there": {"password: {env: THE_SECRET}", "password: {env: NOBODY_SET_THIS}", "messages.gateways[2].kannel.password: the environment has no"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(sending, test.from) {
				t.Fatalf("the section has no %q", test.from)
			}
			_, err := parse("latchkey.yaml", []byte(complete(t)+strings.Replace(sending, test.from, test.to, 1)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("says %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

func TestMoney(t *testing.T) {
	for text, want := range map[string]Money{"0": 0, "1": 1_000_000, "0.075": 75_000, "0.000001": 1, "12.5": 12_500_000} {
		var m Money
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%s is %d, %v", text, m, err)
		}
		if back, err := m.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%d is written %s, %v", m, back, err)
		}
	}
	for _, text := range []string{"", "-1", ".5", "1,5", "1e6", "0.0000001", "99999999999"} {
		if err := new(Money).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestASecretOfAGatewayMayBeAFile(t *testing.T) {
	setSecrets(t)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parse("latchkey.yaml", []byte(complete(t)+strings.Replace(sending, "[{env: THE_WEBHOOK_SECRET}]", "[{file: "+file+"}]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Messages.Gateways[1].Open(); err != nil {
		t.Error(err)
	}
}
