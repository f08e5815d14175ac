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

// BenchmarkS25_TheTimeDoesNotTell reports how far the medians of known and unknown names are apart: S-25 wants
// less than 10 %. It is a benchmark, for a machine that is busy with something else would fail a test; that every
// name costs the same hashes and queries is tested beside it.
func BenchmarkS25_TheTimeDoesNotTell(b *testing.B) {
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
		b.Run(name, func(b *testing.B) {
			h := build(b, func(e *engine.Config) { e.Plugins[0] = password.New(c.params) })
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
			took := map[bool][]time.Duration{}
			for range b.N {
				for i := range 4 * c.rounds {
					known := i%4 == 0 || i%4 == 3 // whatever comes every second time, such as a collection, meets both
					began := spent(b)
					c.step(visits[known], logins[known])
					took[known] = append(took[known], spent(b)-began)
				}
			}
			known, unknown := median(took[true]), median(took[false])
			b.ReportMetric(100*float64(known-unknown)/float64(unknown), "%-apart")
		})
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// spent is the processor time that this process has used.
func spent(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
