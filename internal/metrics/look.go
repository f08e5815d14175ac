package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// patience is how long a scrape waits for the database: what it does not say in time is missing, and the rest
// is there.
const patience = 2 * time.Second

// looking is sources as Prometheus' client collects them.
type looking struct{ Sources }

// Describe says nothing: what there is depends on what can be asked, and that is allowed.
func (looking) Describe(chan<- *prometheus.Desc) {}

// Collect looks.
func (l looking) Collect(out chan<- prometheus.Metric) {
	put := func(name string, v float64, labels ...string) {
		m := described(name)
		kind := prometheus.GaugeValue
		if m.Kind == "counter" {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.Name, m.Means, m.Labels, nil), kind, v, labels...)
	}
	if l.Hashing != nil {
		h := l.Hashing()
		put("latchkey_hash_places", float64(h.Places))
		put("latchkey_hashes_running", float64(h.Running))
		put("latchkey_hashes_waiting", float64(h.Waiting))
		put("latchkey_hashes_total", float64(h.Done))
		put("latchkey_hashes_refused_total", float64(h.Refused))
	}
	if l.Breakers != nil {
		for name, open := range l.Breakers() {
			put("latchkey_gateway_resting", truth(open), name)
		}
	}
	if l.Key != nil {
		if since, left, ok := l.Key(); ok {
			put("latchkey_signing_key_age_seconds", since.Seconds())
			put("latchkey_signing_key_left_seconds", left.Seconds())
		}
	}
	if l.Health != nil {
		ready, skew := l.Health()
		put("latchkey_ready", truth(ready))
		put("latchkey_clock_skew_seconds", skew.Seconds())
	}
	if l.Backlogs != nil {
		l.backlogs(put)
	}
}

func (l looking) backlogs(put func(string, float64, ...string)) {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	b, err := l.Backlogs(ctx)
	if err != nil {
		return // latchkey_ready says what is wrong
	}
	var age time.Duration
	if !b.Oldest.IsZero() {
		age = max(0, l.Now().Sub(b.Oldest))
	}
	put("latchkey_outbox_messages", float64(b.Messages))
	put("latchkey_outbox_oldest_seconds", age.Seconds())
	put("latchkey_audit_unsealed_events", float64(b.Unsealed))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
