package gateway

import (
	"testing"
	"time"
)

func TestLife(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, test := range map[string]struct {
		notAfter time.Time
		unit     time.Duration
		want     time.Duration
	}{
		"a text that keeps has none":     {time.Time{}, time.Second, 0},
		"what is left":                   {now.Add(5 * time.Minute), time.Second, 5 * time.Minute},
		"a begun second counts":          {now.Add(90*time.Second + 1), time.Second, 91 * time.Second},
		"a begun minute counts":          {now.Add(90 * time.Second), time.Minute, 2 * time.Minute},
		"no less than the carrier takes": {now.Add(time.Second), time.Second, time.Minute},
		"nor when it is over":            {now.Add(-time.Hour), time.Second, time.Minute},
		"no more than the carrier takes": {now.Add(90 * time.Hour), time.Second, time.Hour},
	} {
		if got := (Text{NotAfter: test.notAfter}).Life(now, test.unit, time.Minute, time.Hour); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
