package server

import (
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
)

// More than can be served is told so at once (S-85). A request that waits holds memory and makes all others
// slower, and most of those who wait will have given up when their turn comes. So there is a bound on how many are
// served at once, and who would begin a sign-in is sent away sooner than who is in the middle of one: what
// was begun is finished, and then there is room again.
type load struct {
	busy  func() bool // more passwords come than can be hashed
	admit func() bool // one more may begin
	most  int64
	now   atomic.Int64
}

// perCore is how many requests are served at once, for each core. Few of them compute: they wait for a hash,
// for the disk, or for a gateway's verdict.
const perCore = 256

func newLoad(most int, busy, admit func() bool) *load {
	if most <= 0 {
		most = perCore * runtime.GOMAXPROCS(0)
	}
	if busy == nil {
		busy = func() bool { return false }
	}
	if admit == nil {
		admit = func() bool { return true }
	}
	return &load{busy: busy, admit: admit, most: int64(most)}
}

// enter lets a request in; who was let in leaves. The last quarter is for those who have begun already.
func (l *load) enter(begins bool) bool {
	n, most := l.now.Add(1), l.most
	if begins {
		most -= most / 4
	}
	if n <= most && !(begins && (l.busy() || !l.admit())) {
		return true
	}
	l.now.Add(-1)
	return false
}

func (l *load) leave() { l.now.Add(-1) }

// Crowded reports that nobody should begin a sign-in now.
func (s *Server) Crowded() bool {
	return s.load.now.Load() > s.load.most-s.load.most/4 || s.load.busy()
}

// begins reports whether a path is where sign-ins begin.
func begins(path string) bool {
	return path == "/login/begin" || strings.HasPrefix(path, "/oauth2/") && (strings.HasSuffix(path, "/v1/interact") || strings.HasSuffix(path, "/v1/authorize"))
}

// within counts a request of a source against S-52 and answers one too many.
func (s *Server) within(a *answer, r *http.Request) bool {
	source := limit.Source(a.source.Address)
	if s.Count == nil || source == "" { // from inside, on behalf of nobody
		return true
	}
	reading, err := s.Count(r.Context(), source)
	switch {
	case err != nil:
		a.refuse(http.StatusServiceUnavailable)
	case !reading.OK:
		RateLimit(a.Header(), reading)
		a.refuse(http.StatusTooManyRequests)
	}
	return err == nil && reading.OK
}

// RateLimit says which limit was reached and when it is over. The Swift SDK waits until x-rate-limit-reset,
// compared with the answer's Date, which follows no clock but the real one.
func RateLimit(h http.Header, r limit.Reading) {
	seconds := int(max(r.Reset+time.Second-1, time.Second) / time.Second)
	h.Set("Retry-After", strconv.Itoa(seconds))
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(r.Limit))
	h.Set("X-Rate-Limit-Remaining", "0")
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(time.Now().Unix()+int64(seconds), 10))
}

// rateLimited adds to an IDX refusal what other APIs of the kind say, for clients that look for that (idx 4.7).
func rateLimited(doc map[string]any, text string) {
	code := string(msg.RateLimited)
	doc["errorCode"], doc["errorSummary"], doc["errorLink"], doc["errorCauses"] = code, text, code, []any{}
}
