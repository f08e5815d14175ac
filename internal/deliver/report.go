package deliver

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"strings"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// ReportPath is where carriers say what became of a message: the gateway's name, the message's id, and in
// the query the token that only whoever was given the message knows.
const ReportPath = "/messages/report/"

// The refusals of a report.
var (
	ErrUnknown = errors.New("deliver: a report that nobody was asked for")
	ErrForged  = gateway.ErrForged
)

// A Report is what a carrier said about a message, as the request that it came by.
type Report struct {
	Gateway, Message, Token string
	Header                  map[string][]string
	Query                   url.Values
	Body                    []byte
}

// address is where a gateway's carrier may report about a message; empty if nobody could read it.
func (w *Worker) address(l *lane, message string) string {
	if _, ok := l.Gateway.(gateway.Reporter); !ok || w.Reports == "" {
		return ""
	}
	return strings.TrimSuffix(w.Reports, "/") + ReportPath + url.PathEscape(l.Name()) + "/" + message + "?token=" + w.token(l.Name(), message).Reveal()
}

func (w *Worker) token(gateway, message string) secret.Text {
	return w.Keys.Token(secret.MACReport, gateway, message)
}

// Report takes down what a carrier says. The same report twice, and one that comes after its message arrived,
// change nothing.
func (w *Worker) Report(ctx context.Context, r Report) error {
	l := w.lane(r.Gateway)
	if l == nil || subtle.ConstantTimeCompare([]byte(w.token(r.Gateway, r.Message).Reveal()), []byte(r.Token)) != 1 {
		return ErrUnknown
	}
	reporter, ok := l.Gateway.(gateway.Reporter)
	if !ok {
		return ErrUnknown
	}
	outcome, err := reporter.Read(gateway.Report{Address: w.address(l, r.Message), Header: r.Header, Query: r.Query, Body: r.Body})
	if err != nil || outcome == gateway.Pending {
		return err
	}
	delivery, event := store.Delivered, audit.MessageDelivered
	if outcome == gateway.Lost {
		delivery, event = store.Undelivered, audit.MessageUndelivered
	}
	var c store.Charge
	err = w.Store.Update(ctx, func(tx store.Tx) (err error) {
		now := w.Now()
		c, err = tx.Deliver(ctx, r.Message, r.Gateway, delivery, now)
		if errors.Is(err, store.ErrNotFound) {
			// Quicker than our own bookkeeping, or about a message whose answer was lost.
			m, err := tx.Message(ctx, r.Message)
			if err != nil {
				return err
			}
			if err := tx.PutCharge(ctx, w.charge(m, l, true)); err != nil {
				return err
			}
			if c, err = tx.Deliver(ctx, r.Message, r.Gateway, delivery, now); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		return tx.Record(ctx, audit.Event{Type: event, At: now, OK: delivery == store.Delivered, Reason: r.Gateway, Target: c.Country})
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrUnknown
	case errors.Is(err, store.ErrStale):
		return nil
	case err != nil:
		return err
	}
	l.arrived(c, outcome == gateway.Arrived)
	return nil
}

// arrived learns from a report. Those about numbers that nobody verified say nothing of the gateway: strangers
// who type numbers must not be able to take a route away from everybody.
func (l *lane) arrived(c store.Charge, ok bool) {
	switch {
	case ok:
		l.arrival.worked()
	case c.Proved:
		l.arrival.failed(time.Now())
	}
}
