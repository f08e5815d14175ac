package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/config"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/wire"
)

func TestWhatIsListedCountsForMoreThanItsCallingCode(t *testing.T) {
	r := routesOf([]config.Route{
		{Countries: config.Countries{"JE"}, Through: []string{"islands"}},
		{Countries: config.Countries{"44"}, Through: []string{"kingdom"}},
		{Through: []string{"rest"}},
	})
	for region, want := range map[string]string{"JE": "islands", "GB": "kingdom", "GG": "kingdom"} {
		if got := r.Countries[region]; len(got) != 1 || got[0] != want {
			t.Errorf("%s goes through %q, want %s", region, got, want)
		}
	}
	if !reflect.DeepEqual(r.Default, []string{"rest"}) {
		t.Errorf("all others go through %q", r.Default)
	}
	var p wire.Parts
	c := config.Default()
	c.Messages.Budgets.Countries = []config.CountryBudget{
		{Countries: config.Countries{"JE"}, Budget: config.Budget{Hour: 1, Day: 2}},
		{Countries: config.Countries{"44"}, Budget: config.Budget{Hour: 3, Day: 4}},
	}
	if err := messages(c, &p); err != nil {
		t.Fatal(err)
	}
	if b := p.Sends.Budgets; b.Of("JE").Hour != 1 || b.Of("GB").Hour != 3 || b.Of("DE").Hour != 1000 || b.Total.Day != 5000 {
		t.Errorf("S-35: the budgets are %+v", b)
	}
}

// twoCarriers is a configuration with a carrier that fails and one that works.
func twoCarriers(t *testing.T) (file string, texts *[]string) {
	texts = new([]string)
	carrier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var said struct{ Data struct{ To string } }
		if err := json.NewDecoder(r.Body).Decode(&said); err != nil || r.URL.Path == "/ill" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		*texts = append(*texts, said.Data.To)
	}))
	t.Cleanup(carrier.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"secret":     "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"master.key": base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"latchkey.yaml": fmt.Sprintf(`{origin: "http://127.0.0.1:4480", data: %s/data, countries: [1], keys: {master: [{file: %s/master.key}]},
			messages: {gateways: [{name: ill, webhook: {url: %s/ill, secrets: [{file: %s/secret}]}}, {name: well, webhook: {url: %s/well, secrets: [{file: %s/secret}]}}]}}`,
			dir, dir, carrier.URL, dir, carrier.URL, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "latchkey.yaml"), texts
}

func TestTheRoutesCanBeTriedByHand(t *testing.T) {
	file, texts := twoCarriers(t)
	for name, test := range map[string]struct {
		command messageTest
		says    []string
		fails   string
	}{
		"the route":             {messageTest{To: "+1 202 555 0143"}, []string{`"gateway":"ill","taken":false`, `"gateway":"well","taken":true`}, ""},
		"one alone":             {messageTest{To: "+12025550143", Gateway: "well"}, []string{`"gateway":"well","taken":true`}, ""},
		"one that is ill":       {messageTest{To: "+12025550143", Gateway: "ill"}, []string{`"gateway":"ill","taken":false`}, "no gateway took the test"},
		"S-31 somewhere else":   {messageTest{To: "+4915112345678"}, nil, "a code would not be sent there"},
		"mail without a server": {messageTest{To: "ada@example.com", Mail: true}, nil, "no messages.mail"},
	} {
		t.Run(name, func(t *testing.T) {
			*texts = nil
			var out bytes.Buffer
			c := test.command
			c.Config, c.JSON = file, true
			err := c.Run(t.Context(), &out)
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("ended with %v", err)
			}
			lines := strings.Fields(strings.TrimSpace(out.String()))
			for i, want := range test.says {
				if i >= len(strings.Split(strings.TrimSpace(out.String()), "\n")) || !strings.Contains(strings.Split(out.String(), "\n")[i], want) {
					t.Errorf("said %v, want %s", lines, want)
				}
			}
			if test.fails == "" && !reflect.DeepEqual(*texts, []string{"+12025550143"}) {
				t.Errorf("the carrier got %q", *texts)
			}
		})
	}
}

func TestSpendPrintsTheLedger(t *testing.T) {
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	all := []store.Spent{
		{Day: day, Country: "DE", Gateway: "own", Currency: "EUR", Messages: 2, Price: 150_000, Unsure: 1, UnsurePrice: 75_000, Delivered: 1},
		{Day: day, Country: "US", Gateway: "big", Currency: "EUR", Messages: 1, Price: 10_000},
	}
	var table, lines bytes.Buffer
	if err := spendTable(&table, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-03-04", "DE", "0.15", "in all", "0.16"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %s in\n%s", want, table.String())
		}
	}
	if err := spendJSON(&lines, all); err != nil {
		t.Fatal(err)
	}
	want := `{"day":"2026-03-04","country":"DE","gateway":"own","currency":"EUR","messages":2,"price":"0.15","unsure":1,"unsure_price":"0.075","delivered":1,"undelivered":0}`
	if got, _, _ := strings.Cut(lines.String(), "\n"); got != want {
		t.Errorf("the first line is\n%s, want\n%s", got, want)
	}
}
