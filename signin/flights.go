package signin

import (
	"bytes"
	"maps"
	"net/http"
	"sync"
	"time"
)

// flights makes the same form, sent twice by an impatient finger, one answer: the second waits for the first and is told
// the same. Every page that is drawn carries a number of its own, so the same means the same form on the same page. Without
// it a second wrong code would cost a try, and redeeming a code twice would revoke the first tokens (S-56). It covers one process; across several the engine's own rules hold.
type flights struct {
	mu    sync.Mutex
	going map[string]*flight
}

// A flight is one answer, on its way or landed.
type flight struct {
	landed chan struct{}
	recorder
}

// linger is how long a landed answer is repeated. It is clearly longer than signin.js holds the form back: whoever clicks
// again as soon as that lets them must not pay a second try for a wrong code.
const linger = 30 * time.Second

// once writes what do writes, and runs do only if the same is not under way or just done.
func (f *flights) once(key string, w http.ResponseWriter, do func(http.ResponseWriter)) {
	f.mu.Lock()
	if f.going == nil {
		f.going = map[string]*flight{}
	}
	one, ok := f.going[key]
	if !ok {
		one = &flight{landed: make(chan struct{}), recorder: recorder{header: w.Header().Clone(), status: http.StatusOK}}
		f.going[key] = one
	}
	f.mu.Unlock()
	if !ok {
		func() {
			// Even if do panics: whoever waits must not wait for ever, and then gets an empty 500.
			defer close(one.landed)
			defer time.AfterFunc(linger, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				delete(f.going, key)
			})
			one.status = http.StatusInternalServerError
			do(&one.recorder)
		}()
	}
	<-one.landed
	one.replay(w)
}

// A recorder is a ResponseWriter that keeps the answer, so that it can be given twice.
type recorder struct {
	header  http.Header
	status  int
	written bool
	body    bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if !r.written {
		r.status, r.written = status, true
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorder) replay(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header.Clone())
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes())
}
