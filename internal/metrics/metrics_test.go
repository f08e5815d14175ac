package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/store"
)

// told is a set that has been told one of everything.
func told(t *testing.T) *Metrics {
	t.Helper()
	m := New("v1", "abc")
	m.Request("/idp/idx/identify", "POST", 200, time.Millisecond)
	m.Transaction(true, time.Millisecond, 2, nil)
	m.Transaction(false, time.Millisecond, 0, fmt.Errorf("away: %w", store.ErrUnavailable))
	m.Recorded(audit.PasswordWrong, false)
	m.Sent("twilio", obs.Took, time.Second)
	m.Look(Sources{
		Hashing:  func() engine.Hashing { return engine.Hashing{Places: 2, Running: 1, Waiting: 3, Done: 4, Refused: 5} },
		Breakers: func() map[string]bool { return map[string]bool{"twilio": true, "vonage": false} },
		Key:      func() (time.Duration, time.Duration, bool) { return time.Hour, 2 * time.Hour, true },
		Backlogs: func(context.Context) (store.Backlogs, error) {
			return store.Backlogs{Messages: 6, Oldest: time.Unix(1000, 0), Unsealed: 7}, nil
		},
		Health: func() (bool, time.Duration) { return true, time.Second },
		Now:    func() time.Time { return time.Unix(1090, 0) },
	})
	return m
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	out := httptest.NewRecorder()
	m.ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(out.Result().Body)
	if err != nil || out.Code != http.StatusOK {
		t.Fatalf("%d, %v", out.Code, err)
	}
	return string(body)
}

func TestWhatIsToldIsCounted(t *testing.T) {
	all := scrape(t, told(t))
	for _, want := range []string{
		`latchkey_http_requests_total{method="POST",route="/idp/idx/identify",status="200"} 1`,
		`latchkey_http_request_seconds_count{route="/idp/idx/identify"} 1`,
		`latchkey_transactions_total{kind="update",outcome="ok"} 1`,
		`latchkey_transactions_total{kind="view",outcome="unavailable"} 1`,
		`latchkey_transaction_retries_total{kind="update"} 2`,
		`latchkey_events_total{outcome="refused",type="signin.password.wrong"} 1`,
		`latchkey_message_tries_total{gateway="twilio",outcome="took"} 1`,
		`latchkey_gateway_resting{gateway="twilio"} 1`, `latchkey_gateway_resting{gateway="vonage"} 0`,
		`latchkey_hashes_waiting 3`, `latchkey_hashes_refused_total 5`, `latchkey_signing_key_left_seconds 7200`,
		`latchkey_outbox_messages 6`, `latchkey_outbox_oldest_seconds 90`, `latchkey_audit_unsealed_events 7`,
		`latchkey_ready 1`, `latchkey_clock_skew_seconds 1`, `version="v1"`, `go_goroutines`, `process_resident_memory_bytes`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("there is no %s", want)
		}
	}
	for _, m := range Catalogue {
		if !strings.Contains(all, "# TYPE "+m.Name+" "+m.Kind+"\n") {
			t.Errorf("%s is in the catalogue, and no %s of it is shown", m.Name, m.Kind)
		}
	}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (latchkey_\w+)`).FindAllStringSubmatch(all, -1) {
		described(name[1])
	}
}

func TestADatabaseThatIsAwayHidesOnlyWhatIsInIt(t *testing.T) {
	m := New("", "")
	m.Look(Sources{
		Backlogs: func(context.Context) (store.Backlogs, error) { return store.Backlogs{}, errors.New("away") },
		Health:   func() (bool, time.Duration) { return false, 0 },
	})
	if all := scrape(t, m); !strings.Contains(all, "latchkey_ready 0") || strings.Contains(all, "latchkey_outbox") {
		t.Errorf("got\n%s", all)
	}
}

// names are the metrics that a text speaks of, series of histograms under their own name.
func names(text string) (all []string) {
	for _, n := range regexp.MustCompile(`\blatchkey_[a-z_]+`).FindAllString(text, -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			n = strings.TrimSuffix(n, suffix)
		}
		all = append(all, n)
	}
	return all
}

func known(name string) bool {
	return slices.ContainsFunc(Catalogue, func(m Metric) bool { return m.Name == name })
}

func TestTheDashboardAndTheAlertsSpeakOfWhatThereIs(t *testing.T) {
	types := regexp.MustCompile(`type="([^"]+)"`)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr, For string }
		}
	}
	readFile := func(name string, decode func([]byte) error) string {
		text, err := os.ReadFile(name)
		if err == nil {
			err = decode(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	texts := map[string]string{
		"dashboard": readFile("../../deploy/grafana/latchkey.json", func(b []byte) error { return json.Unmarshal(b, &board) }),
		"alerts":    readFile("../../deploy/prometheus/alerts.yaml", func(b []byte) error { return yaml.Unmarshal(b, &rules) }),
	}
	if len(board.Panels) < 10 || len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 10 {
		t.Fatalf("%d panels and %+v", len(board.Panels), rules)
	}
	for where, text := range texts {
		for _, n := range names(text) {
			if !known(n) {
				t.Errorf("%s: there is no %s", where, n)
			}
		}
		for _, one := range types.FindAllStringSubmatch(text, -1) {
			if audit.Meanings[audit.Type(one[1])] == "" {
				t.Errorf("%s: there are no events %s", where, one[1])
			}
		}
	}
	for _, r := range rules.Groups[0].Rules {
		if len(names(r.Expr)) == 0 || r.For == "" {
			t.Errorf("the alert %s is of nothing", r.Alert)
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range Catalogue {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		if row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", m.Name, m.Kind, labels, m.Means); !strings.Contains(string(doc), row) {
			t.Errorf("docs/metrics.md lacks\n%s", row)
		}
	}
	for _, n := range names(string(doc)) {
		if !known(n) {
			t.Errorf("docs/metrics.md speaks of %s, which is none", n)
		}
	}
}
