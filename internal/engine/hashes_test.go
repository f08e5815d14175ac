package engine

import (
	"context"
	"testing"
	"time"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
)

// wait lets somebody take a place in the queue, and returns when they have it.
func wait(t *testing.T, h *hashes, n int) <-chan error {
	t.Helper()
	ended := make(chan error, n)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for range n {
		go func() {
			leave, err := h.enter(ctx)
			if err == nil {
				defer leave()
			}
			ended <- err
		}()
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		waiting := h.waiting
		h.mu.Unlock()
		if waiting == n {
			return ended
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d wait", waiting, n)
		}
	}
}

func enter(t *testing.T, h *hashes) func() {
	t.Helper()
	leave, err := h.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

// refusedAtOnce wants a refusal that did not wait. What is slow here is the machine.
func refusedAtOnce(t *testing.T, h *hashes) {
	t.Helper()
	_, err := h.enter(t.Context())
	if f := fault.As(err); err == nil || f.Kind != fault.Unavailable || f.Key != msg.TooBusy || f.Retry <= 0 {
		t.Fatalf("got %v", err)
	}
}

func TestS85_ALongQueueIsRefusedAtOnce(t *testing.T) {
	h := newHashes(2)
	enter(t, h)
	enter(t, h)
	h.took = time.Second // one behind each place, however slow the machine
	wait(t, h, 2)
	if !h.overloaded() {
		t.Error("a queue of a second and a half is no overload")
	}
	refusedAtOnce(t, h)
	if h.admit(time.Now()) {
		t.Error("somebody may begin before a full queue")
	}
}

func TestS85_ACrowdThatComesAtOnceIsNoOverload(t *testing.T) {
	h := newHashes(2)
	a, b := enter(t, h), enter(t, h)
	h.took = 30 * time.Millisecond
	ended := wait(t, h, 30)
	if h.overloaded() || !h.admit(time.Now()) {
		t.Error("30 hashes on two cores take half a second, which is no overload")
	}
	a()
	b()
	for range 30 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if h.overloaded() || h.waiting != 0 || !h.full.IsZero() {
		t.Errorf("afterwards %d wait, since %s", h.waiting, h.full)
	}
}

func TestS85_AQueueThatStandsIsKeptShort(t *testing.T) {
	h := newHashes(2)
	a, b := enter(t, h), enter(t, h)
	h.took = 30 * time.Millisecond
	ended := wait(t, h, 20)
	h.mu.Lock()
	h.full = h.full.Add(-hashCrowd - time.Millisecond)
	h.mu.Unlock()
	if !h.overloaded() {
		t.Error("a queue that has stood for a second is no overload")
	}
	refusedAtOnce(t, h)
	a()
	b()
	for range 20 {
		<-ended
	}
	// Who was sent away comes back and finds nobody there: that makes them no new crowd.
	h.mu.Lock()
	if !h.standing() || h.waiting != 0 {
		t.Errorf("%d wait, and the next crowd is a new one right after somebody was sent away", h.waiting)
	}
	h.strict = time.Now()
	if h.standing() {
		t.Error("a crowd is an old one when nobody has been sent away for long")
	}
	h.mu.Unlock()
	enter(t, h)()
	if h.overloaded() {
		t.Error("overloaded with nobody there")
	}
}

func TestS85_WhileTooManyComeAsManyBeginAsCanBeFinished(t *testing.T) {
	h := newHashes(2)
	h.took = 20 * time.Millisecond // a hundred hashes in a second, and so 33 sign-ins
	now := time.Now()
	for range 1000 {
		if !h.admit(now) {
			t.Fatal("nobody waits, nobody was sent away, and somebody may not begin")
		}
	}
	h.sentAway()
	begun := 0
	for i := range 1000 {
		h.strict = time.Now().Add(time.Hour)
		if h.admit(now.Add(time.Duration(i) * time.Millisecond)) {
			begun++
		}
	}
	if least, most := 33, 33+beginTogether*2+1; begun < least || begun > most {
		t.Errorf("%d began in a second, want %d to %d", begun, least, most)
	}
	h.strict = time.Now()
	for range 2 {
		if !h.admit(time.Now()) {
			t.Error("nobody has been sent away for long, and somebody may not begin")
		}
	}
}

func TestTurnsAreForgotten(t *testing.T) {
	turns := newTurns()
	var leaves []func()
	for range atOnce {
		leave, err := turns.enter(t.Context(), "mary")
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.enter(gone, "mary"); err == nil {
		t.Error("one too many went before those who were there")
	}
	if leave, err := turns.enter(gone, "paul"); err == nil {
		leave() // by chance: both were possible
	}
	for _, leave := range leaves {
		leave()
		leave()
	}
	if len(turns.by) != 0 {
		t.Errorf("%d things are remembered that nobody does", len(turns.by))
	}
}
