package receipts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey.dev/internal/deliver"
	"latchkey.dev/internal/receipts"
)

// A clerk takes reports down, and says what it was told to.
type clerk struct {
	got deliver.Report
	err error
}

func (c *clerk) Report(_ context.Context, r deliver.Report) error {
	c.got = r
	return c.err
}

func TestReportsAreHandedOverAsTheyCame(t *testing.T) {
	for name, test := range map[string]struct {
		method, path string
		err          error
		status       int
	}{
		"a post":                {"POST", "twilio/msg1?token=t", nil, 204},
		"a get, as of Kannel":   {"GET", "twilio/msg1?token=t&status=1", nil, 204},
		"of nobody":             {"POST", "twilio/msg1?token=t", deliver.ErrUnknown, 404},
		"not the carrier's":     {"POST", "twilio/msg1?token=t", fmt.Errorf("%w", deliver.ErrForged), 403},
		"when the store is ill": {"POST", "twilio/msg1?token=t", errors.New("ill"), 503},
		"no message":            {"POST", "twilio?token=t", nil, 404},
		"another method":        {"DELETE", "twilio/msg1?token=t", nil, 405},
	} {
		c := &clerk{err: test.err}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(test.method, deliver.ReportPath+test.path, strings.NewReader("what it says"))
		r.Header.Set("X-Signature", "s")
		receipts.New(c, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s: %d, want %d", name, w.Code, test.status)
		}
		if c.got.Token != "" && (c.got.Gateway != "twilio" || c.got.Message != "msg1" || c.got.Token != "t" || string(c.got.Body) != "what it says" || len(c.got.Header["X-Signature"]) != 1) {
			t.Errorf("%s: handed over %+v", name, c.got)
		}
		if test.status == 503 && w.Header().Get("Retry-After") == "" {
			t.Error("does not say when to come again")
		}
	}
}
