//go:build unix

package idxapi_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/oauth"
)

// The medians differ by less than a tenth: of a name with its password, of a name alone, of looking again. The
// process's own time is taken and not the wall's, because tests share their machine. Known and unknown take
// turns, so that what remains of the noise meets both, and have three chances, which no real difference survives.
func TestS25_TheTimeDoesNotTell(t *testing.T) {
	for name, c := range map[string]struct {
		client oauth.ClientID
		params password.Params
		rounds int
		step   func(v *visit, login string) answer
	}{
		"name and password": {"0oa1seed", password.DefaultParams(), 10, func(v *visit, login string) answer { return v.identify(login, "nope") }},
		"a name alone": {"0oa1name", cheap, 100, func(v *visit, login string) answer {
			return v.post("identify", map[string]any{"identifier": login})
		}},
		"where a named flow stands": {"0oa1name", cheap, 100, func(v *visit, _ string) answer { return v.introspect() }},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, func(e *engine.Config) { e.Plugins[0] = password.New(c.params) })
			if c.params != cheap { // the seeded hash is a cheap one
				h.person("00u1dear", "dear@example.com", password.New(c.params), false)
			}
			logins := map[bool]string{true: mary, false: "none@example.com"}
			if c.params != cheap {
				logins[true] = "dear@example.com"
			}
			visits := map[bool]*visit{}
			for known, login := range logins {
				visits[known], _ = h.begin(c.client)
				c.step(visits[known], login)
				visits[known].post("identify", map[string]any{"identifier": login})
			}
			var apart float64
			for range 3 {
				took := map[bool][]time.Duration{}
				for i := range 4 * c.rounds {
					known := i%4 == 0 || i%4 == 3 // whatever comes every second time, such as a collection, meets both
					began := spent(t)
					c.step(visits[known], logins[known])
					took[known] = append(took[known], spent(t)-began)
				}
				known, unknown := median(took[true]), median(took[false])
				apart = float64(known-unknown) / float64(unknown)
				t.Logf("known %s, unknown %s: %+.1f %%", known, unknown, 100*apart)
				if max(apart, -apart) < 0.1 {
					return
				}
			}
			t.Errorf("the medians differ by %+.1f %%", 100*apart)
		})
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// spent is the processor time that this process has used.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
