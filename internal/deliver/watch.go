package deliver

import (
	"errors"
	"time"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/obs"
)

// watched tells whoever watches what a gateway made of a try.
func (r *race) watched(l *lane, err error, late bool, took time.Duration, span obs.Span) {
	outcome := obs.Failed
	switch {
	case err == nil:
		outcome = obs.Took
	case errors.Is(err, gateway.ErrRefused):
		outcome = obs.Refused
	case r.ctx.Err() != nil:
		outcome = obs.BrokenOff
	case late:
		outcome = obs.TimedOut
	}
	span.Say("gateway", l.Name())
	span.Say("outcome", outcome)
	if outcome == obs.Refused || outcome == obs.BrokenOff {
		err = nil // which is no failure of anybody
	}
	span.End(err)
	if r.Watch != nil {
		r.Watch.Sent(l.Name(), outcome, took)
	}
}

// Breakers says of each gateway whether it is passed over now, because it does not take messages or because they do
// not arrive.
func (w *Worker) Breakers() map[string]bool {
	now := time.Now()
	open := map[string]bool{}
	for _, lanes := range [][]*lane{w.lanes, w.mail} {
		for _, l := range lanes {
			open[l.Name()] = l.rest.open(now) || l.arrival.open(now)
		}
	}
	return open
}
