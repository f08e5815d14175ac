// Package metrics turns what rooms tell and show into numbers that Prometheus collects.
//
// [Metrics] is an [obs.Watcher] and an [http.Handler]: what happens is counted as it happens, and what can be
// looked at (queues, breakers, the age of keys) is looked at when somebody asks. [Catalogue] is every metric of
// ours with what it means; docs/metrics.md is checked against it. No label has more values than there are routes,
// gateways and kinds of events: nothing that a stranger sends becomes one.
package metrics

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/store"
)

// A Metric is one of ours, described.
type Metric struct {
	Name   string
	Kind   string // counter, gauge or histogram
	Labels []string
	Means  string
}

// Catalogue is all of them.
var Catalogue = []Metric{
	{"latchkey_http_requests_total", "counter", []string{"route", "method", "status"}, "Requests answered. route is the pattern that matched; (refused) was turned away before anybody asked what it was, (none) matched nothing. Pages call the API from inside, which counts as well."},
	{"latchkey_http_request_seconds", "histogram", []string{"route"}, "How long answering took."},
	{"latchkey_events_total", "counter", []string{"type", "outcome"}, "Events of the audit log that were committed, by type: every step of a sign-in, every token, limit and lock. outcome is ok or refused."},
	{"latchkey_hash_places", "gauge", nil, "How many passwords can be hashed at once."},
	{"latchkey_hashes_running", "gauge", nil, "How many are being hashed now."},
	{"latchkey_hashes_waiting", "gauge", nil, "How many sign-ins wait for their turn to be hashed."},
	{"latchkey_hashes_total", "counter", nil, "Passwords hashed."},
	{"latchkey_hashes_refused_total", "counter", nil, "Sign-ins sent away with 503 because the queue was too long."},
	{"latchkey_message_tries_total", "counter", []string{"gateway", "outcome"}, "Tries to send a message. outcome is took, refused (the number gets nothing there), failed, timed_out or broken_off (another gateway was quicker)."},
	{"latchkey_message_try_seconds", "histogram", []string{"gateway"}, "How long a gateway took to answer a try."},
	{"latchkey_gateway_resting", "gauge", []string{"gateway"}, "1 while a gateway is passed over because it failed or what it takes does not arrive, else 0."},
	{"latchkey_outbox_messages", "gauge", nil, "Messages that wait to be sent, over all nodes."},
	{"latchkey_outbox_oldest_seconds", "gauge", nil, "How long the oldest of them has waited; 0 without any."},
	{"latchkey_transactions_total", "counter", []string{"kind", "outcome"}, "Database transactions. kind is view or update; outcome is ok, refused (a rule of ours said no), unavailable (the database did), ended (the caller gave up) or failed."},
	{"latchkey_transaction_seconds", "histogram", []string{"kind"}, "How long a transaction took, retries and waiting for a turn included."},
	{"latchkey_transaction_retries_total", "counter", []string{"kind"}, "Times that a transaction began anew after a conflict."},
	{"latchkey_signing_key_age_seconds", "gauge", nil, "How long the present signing key has signed; it is replaced after 90 days."},
	{"latchkey_signing_key_left_seconds", "gauge", nil, "How long until the youngest signing key's turn ends; below a day, rotation does not work."},
	{"latchkey_audit_unsealed_events", "gauge", nil, "Audit events that no seal covers yet; a seal is made every hour."},
	{"latchkey_ready", "gauge", nil, "1 if this process says that it is ready, else 0."},
	{"latchkey_clock_skew_seconds", "gauge", nil, "How far this machine's clock is ahead of the database's; beyond 30 either way it is not ready."},
	{"latchkey_build_info", "gauge", []string{"version", "revision", "go"}, "Always 1; what this binary is."},
}

func described(name string) Metric {
	for _, m := range Catalogue {
		if m.Name == name {
			return m
		}
	}
	panic("metrics: " + name + " is not in the catalogue") // a programming error, found by any test
}

// buckets are where latencies are told apart: from a read of a millisecond to what clients give up on.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}

// Sources are what is looked at when somebody asks. What is nil is not shown.
type Sources struct {
	Hashing  func() engine.Hashing
	Breakers func() map[string]bool
	Key      func() (since, left time.Duration, ok bool)
	Backlogs func(context.Context) (store.Backlogs, error)
	Health   func() (ready bool, skew time.Duration)
	Now      func() time.Time
}

// Metrics counts.
type Metrics struct {
	registry     *prometheus.Registry
	requests     *prometheus.CounterVec
	took         *prometheus.HistogramVec
	events       *prometheus.CounterVec
	tries        *prometheus.CounterVec
	tryTook      *prometheus.HistogramVec
	transactions *prometheus.CounterVec
	transaction  *prometheus.HistogramVec
	retries      *prometheus.CounterVec
}

var _ obs.Watcher = (*Metrics)(nil)

// New makes an empty set, with the runtime's and the process's own numbers in it, and what this binary is.
func New(version, revision string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.requests = counter(m, "latchkey_http_requests_total")
	m.took = histogram(m, "latchkey_http_request_seconds")
	m.events = counter(m, "latchkey_events_total")
	m.tries = counter(m, "latchkey_message_tries_total")
	m.tryTook = histogram(m, "latchkey_message_try_seconds")
	m.transactions = counter(m, "latchkey_transactions_total")
	m.transaction = histogram(m, "latchkey_transaction_seconds")
	m.retries = counter(m, "latchkey_transaction_retries_total")
	for _, kind := range []string{"view", "update"} {
		m.retries.WithLabelValues(kind) // an alert on what was never there would be silent
	}
	build := described("latchkey_build_info")
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: build.Name, Help: build.Means}, build.Labels)
	info.WithLabelValues(version, revision, runtime.Version()).Set(1)
	m.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(m *Metrics, name string) *prometheus.CounterVec {
	d := described(name)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Means}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

func histogram(m *Metrics, name string) *prometheus.HistogramVec {
	d := described(name)
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Means, Buckets: buckets}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

// Request implements [obs.Watcher].
func (m *Metrics) Request(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(route).Observe(took.Seconds())
}

// Transaction implements [obs.Watcher].
func (m *Metrics) Transaction(write bool, took time.Duration, again int, err error) {
	kind := "view"
	if write {
		kind = "update"
	}
	m.transactions.WithLabelValues(kind, outcomeOf(err)).Inc()
	m.transaction.WithLabelValues(kind).Observe(took.Seconds())
	if again > 0 {
		m.retries.WithLabelValues(kind).Add(float64(again))
	}
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "ended"
	}
	for _, said := range []error{store.ErrNotFound, store.ErrStale, store.ErrSpent, store.ErrExists} {
		if errors.Is(err, said) {
			return "refused"
		}
	}
	return "failed"
}

// Recorded implements [obs.Watcher].
func (m *Metrics) Recorded(t audit.Type, ok bool) {
	outcome := "ok"
	if !ok {
		outcome = "refused"
	}
	m.events.WithLabelValues(string(t), outcome).Inc()
}

// Sent implements [obs.Watcher].
func (m *Metrics) Sent(gateway, outcome string, took time.Duration) {
	m.tries.WithLabelValues(gateway, outcome).Inc()
	m.tryTook.WithLabelValues(gateway).Observe(took.Seconds())
}

// Look shows sources, too. It is called once.
func (m *Metrics) Look(s Sources) { m.registry.MustRegister(looking{s}) }

// ServeHTTP writes all of it in Prometheus' form.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2}).ServeHTTP(w, r)
}
