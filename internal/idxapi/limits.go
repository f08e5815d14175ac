package idxapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
)

// admit counts a request against the limit of its handle (S-52), and sends away who would begin while those who
// began wait (S-85). A client that is told to come back later begins again with the same interaction handle.
func (a *API) admit(w http.ResponseWriter, r *http.Request, b body) bool {
	kind, handle := "state", b.named("stateHandle")
	if handle == "" {
		handle = b.named("stateToken")
	}
	if handle == "" {
		kind, handle = "interaction", b.named("interactionHandle")
	}
	if kind == "interaction" && a.Crowded != nil && a.Crowded() {
		a.refuse(w, r, nil, http.StatusServiceUnavailable, &fault.Fault{Key: msg.TooBusy, Bare: true, Retry: 2 * time.Second})
		return false
	}
	if a.Count == nil || handle == "" {
		return true
	}
	reading, err := a.Count(r.Context(), kind+" "+handle)
	switch {
	case err != nil:
		a.refuse(w, r, nil, http.StatusServiceUnavailable, &fault.Fault{Key: msg.Unavailable, Bare: true, Retry: 2 * time.Second})
	case !reading.OK:
		a.limited(w, r, reading)
	}
	return err == nil && reading.OK
}

// named is a member that is text, whatever the rest is like.
func (b body) named(member string) string {
	s, _ := b.members[member].(string)
	return s
}

// limited is the answer of a general limit. It says what other APIs of the kind say, too, for clients that look
// for that (idx 4.7), and shows no page: drawing one would cost what the limit saves.
func (a *API) limited(w http.ResponseWriter, r *http.Request, reading limit.Reading) {
	f := &fault.Fault{Key: msg.TooManyRequests, Bare: true}
	d := a.draw(nil, language(r), f)
	d.ErrorCode, d.ErrorSummary = string(msg.RateLimited), msg.Text(language(r), msg.RateLimited)
	d.ErrorLink, d.ErrorCauses = d.ErrorCode, &[]string{}
	wait(w.Header(), http.StatusTooManyRequests, max(int((reading.Reset+time.Second-1)/time.Second), 1))
	w.Header().Set("X-Rate-Limit-Limit", strconv.Itoa(reading.Limit))
	a.write(w, http.StatusTooManyRequests, d)
}

// A Count counts a request of something and says whether it is within its limit.
type Count func(ctx context.Context, what string) (limit.Reading, error)
