package keys

import "time"

// Age is how long the key that signs now has signed, and how long it is until the youngest one's turn ends: less
// than a day means that rotation does not work. ok is false before the keys were read. For whoever watches.
func (r *Ring) Age() (since, left time.Duration, ok bool) {
	h, now := r.held.Load(), r.now()
	if h == nil {
		return 0, 0, false
	}
	k, ok := signing(h.all, now)
	last := k.From
	for _, other := range h.all {
		if !withdrawn(other) && other.From.After(last) {
			last = other.From
		}
	}
	return now.Sub(k.From), last.Add(Life).Sub(now), ok
}
