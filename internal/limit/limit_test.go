package limit_test

import (
	"testing"
	"time"

	"latchkey.dev/internal/limit"
)

func TestS10_SuspensionDoublesToADayAndStopsAtTheHardStop(t *testing.T) {
	c := limit.DefaultCodes()
	for failures, want := range map[int]time.Duration{
		0: 0, 1: 0, 9: 0, 10: 15 * time.Minute, 11: 0, 20: 30 * time.Minute, 30: time.Hour, 70: 16 * time.Hour,
		80: 24 * time.Hour, 90: 24 * time.Hour, 100: limit.Forever, 110: limit.Forever,
	} {
		if got := c.Suspension(failures); got != want {
			t.Errorf("after %d failures %s, want %s", failures, got, want)
		}
	}
}

func TestS08_CodesLiveFiveMinutes(t *testing.T) {
	if c := limit.DefaultCodes(); c.Lifetime != 5*time.Minute || c.Tries != 5 || c.Resend != 30*time.Second {
		t.Errorf("got %+v", c)
	}
}
