package idxapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/idxapi"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/meter"
)

// metered gives the house a meter like the one that wire gives it.
func (h *house) metered() {
	m := meter.New(meter.Config{Store: h.db, Shared: true, Now: h.clock})
	w := limit.DefaultRequests().PerHandle
	h.api = idxapi.New(idxapi.Config{Engine: h.engine, Origin: origin, Count: func(ctx context.Context, what string) (limit.Reading, error) {
		return m.Count(ctx, "handle", what, w)
	}})
}

func TestS52_AHandleHasTenRequestsInFiveSeconds(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	w, _ := h.begin("0oa1one")
	h.metered()
	var statuses []int
	for _, a := range parallel(200, func() answer { return v.sendPlain("identify", fmt.Sprintf(`{"stateHandle":%q}`, v.state)) }) {
		statuses = append(statuses, a.status)
	}
	if n := count(statuses, http.StatusBadRequest); n != 10 {
		t.Errorf("%d of 200 were looked at, want 10: %v", n, statuses)
	}
	if n := count(statuses, http.StatusTooManyRequests); n != 190 {
		t.Errorf("%d of 200 are 429, want 190", n)
	}
	a := v.sendPlain("identify", fmt.Sprintf(`{"stateHandle":%q}`, v.state))
	a.message(t, "tooManyRequests", "")
	if a.doc["errorCode"] != "E0000047" || a.doc["version"] != "1.0.0" || a.doc["remediation"] != nil || a.doc["stateHandle"] != nil ||
		a.header.Get("X-Rate-Limit-Limit") != "10" || a.header.Get("X-Rate-Limit-Remaining") != "0" || a.header.Get("X-Rate-Limit-Reset") == "" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s\n%v", a.status, a.raw, a.header)
	}
	w.identify(mary, password1).want(t, 200) // another handle
	h.advance(5 * time.Second)
	v.identify(mary, password1).want(t, 200)
}

func TestS85_TheFirstIntrospectWaitsForWhoHasBegun(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	h.api = idxapi.New(idxapi.Config{Engine: h.engine, Origin: origin, Crowded: func() bool { return true }})
	if a := v.introspect(); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	v.send("introspect", fmt.Sprintf(`{"stateHandle":%q}`, v.state), nil).want(t, 200, "identify")
	v.identify(mary, password1).want(t, 200)
}

func TestS77_AHandleThatCannotBeCountedIsNotServed(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	h.api = idxapi.New(idxapi.Config{Engine: h.engine, Origin: origin, Count: func(context.Context, string) (limit.Reading, error) {
		return limit.Reading{}, errors.New("database away")
	}})
	v.identify(mary, password1).want(t, 503)
}

func count(statuses []int, status int) (n int) {
	for _, s := range statuses {
		if s == status {
			n++
		}
	}
	return n
}

// sendPlain is send without what holds for documents: a refusal of a general limit is one and something else besides.
func (h *house) sendPlain(path, body string) answer {
	r := httptest.NewRequest(http.MethodPost, origin+"/idp/idx/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return h.serve(r)
}
