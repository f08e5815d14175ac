// Package outbox is the gateway that carries nothing out of the house: it keeps texts in memory, for
// people and tests to read.
//
// It can misbehave on purpose ([Outbox.Fault]), so that what a refusing or hanging carrier does to a
// sign-in can be seen without one.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey.dev/internal/gateway"
)

// kept is how many texts are remembered: a benchmark that sends for an hour must not fill the memory.
const kept = 5000

// A Text is one that was sent.
type Text struct {
	ID      string
	Channel string
	To      string
	Body    string
	At      time.Time
}

// A Fault is a way to misbehave.
type Fault string

// The faults.
const (
	Refuse Fault = "refuse" // the number gets nothing, for good
	Hang   Fault = "hang"   // no answer until the caller gives up
	Fail   Fault = "fail"   // an error that may pass by itself
)

// ErrDown is what a failing outbox says.
var ErrDown = errors.New("outbox: told to fail")

// An Outbox keeps texts. The zero value is not usable: see [New].
type Outbox struct {
	now func() time.Time

	mu      sync.Mutex
	texts   []Text
	ids     map[string]bool
	changed chan struct{} // closed at the next change
	faults  []rule
}

type rule struct {
	pattern string
	fault   Fault
}

// New makes an empty outbox that stamps texts by now.
func New(now func() time.Time) *Outbox {
	return &Outbox{now: now, ids: map[string]bool{}, changed: make(chan struct{})}
}

// Name is outbox.
func (o *Outbox) Name() string { return "outbox" }

// Send keeps the text, once for each id, unless a fault says otherwise.
func (o *Outbox) Send(ctx context.Context, t gateway.Text) error {
	switch o.faultFor(t.To.Reveal()) {
	case Refuse:
		return fmt.Errorf("outbox: told to refuse: %w", gateway.ErrRefused)
	case Fail:
		return ErrDown
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ids[t.ID] {
		return nil
	}
	if len(o.texts) == kept {
		for _, old := range o.texts[:kept/10] {
			delete(o.ids, old.ID)
		}
		o.texts = slices.Delete(o.texts, 0, kept/10)
	}
	o.ids[t.ID] = true
	o.texts = append(o.texts, Text{ID: t.ID, Channel: t.Channel, To: t.To.Reveal(), Body: t.Body.Reveal(), At: o.now()})
	close(o.changed)
	o.changed = make(chan struct{})
	return nil
}

// Texts returns what was sent to a number, or to anybody if it is empty, oldest first; never nil.
func (o *Outbox) Texts(to string) []Text {
	texts, _ := o.look(to)
	return texts
}

// Wait is Texts as soon as there is one newer than the text with the id after (or any, if after is
// empty), or when the time is over, or ctx.
func (o *Outbox) Wait(ctx context.Context, to, after string, atMost time.Duration) []Text {
	late := time.NewTimer(atMost)
	defer late.Stop()
	for {
		texts, changed := o.look(to)
		if n := len(texts); n > 0 && texts[n-1].ID != after {
			return texts
		}
		select {
		case <-changed:
		case <-late.C:
			return texts
		case <-ctx.Done():
			return texts
		}
	}
}

func (o *Outbox) look(to string) ([]Text, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := []Text{}
	for _, t := range o.texts {
		if to == "" || t.To == to {
			found = append(found, t)
		}
	}
	return found, o.changed
}

// Empty throws all texts away.
func (o *Outbox) Empty() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.texts, o.ids = nil, map[string]bool{}
}

// Fault misbehaves from now on for numbers like the pattern, which may hold *; the last pattern set wins.
func (o *Outbox) Fault(pattern string, f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mend(pattern)
	o.faults = append(o.faults, rule{pattern, f})
}

// Mend ends the fault of one pattern, or all faults if it is empty.
func (o *Outbox) Mend(pattern string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mend(pattern)
}

func (o *Outbox) mend(pattern string) {
	o.faults = slices.DeleteFunc(o.faults, func(r rule) bool { return pattern == "" || r.pattern == pattern })
}

func (o *Outbox) faultFor(number string) Fault {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range slices.Backward(o.faults) {
		if Match(r.pattern, number) {
			return r.fault
		}
	}
	return ""
}

// Match reports whether a number is like a pattern: equal, with each * standing for any digits.
func Match(pattern, number string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == number
	}
	if number, star = strings.CutPrefix(number, head); !star {
		return false
	}
	for i := range len(number) + 1 {
		if Match(rest, number[i:]) {
			return true
		}
	}
	return false
}
