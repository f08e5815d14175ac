package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/gateway/outbox"
)

// longest is how long a request may wait for a text.
const longest = time.Minute

// A verb does what one method of one control address says, and returns what is answered as JSON.
type verb func(*http.Request) (any, error)

// controls is the control API, address by address.
func (h *House) controls() map[string]map[string]verb {
	return map[string]map[string]verb{
		"/dev/outbox":  {"GET": h.readOutbox, "DELETE": h.emptyOutbox},
		"/dev/clock":   {"GET": h.readClock, "POST": h.setClock},
		"/dev/codes":   {"GET": h.readPins, "PUT": h.pin, "DELETE": h.unpin},
		"/dev/gateway": {"PUT": h.breakGateway, "DELETE": h.mendGateway},
		"/dev/reset":   {"POST": h.reset},
	}
}

// An apiError is a refusal of the control API.
type apiError struct {
	status int
	said   string
}

func (e apiError) Error() string { return e.said }

func refused(format string, args ...any) error {
	return apiError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// control answers one address.
func (h *House) control(verbs map[string]verb) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		v, known := verbs[method]
		var answer any
		err := ownSite(r)
		switch {
		case err != nil:
		case !known:
			allow := []string{}
			for m := range verbs {
				allow = append(allow, m)
			}
			slices.Sort(allow)
			w.Header().Set("Allow", strings.Join(allow, ", "))
			err = apiError{http.StatusMethodNotAllowed, "this address takes " + strings.Join(allow, " and ")}
		default:
			patient(w, r)
			answer, err = v(r)
		}
		status := http.StatusOK
		if err != nil {
			status = http.StatusInternalServerError
			if refusal := (apiError{}); errors.As(err, &refusal) {
				status = refusal.status
			}
			answer = map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false) // a text ends in @host #code, and is to be read
		_ = encoder.Encode(answer)   // the connection is all that can fail
	}
}

// patient lets a request that waits for a text outlive the server's time limits.
func patient(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("wait") {
		c := http.NewResponseController(w)
		until := time.Now().Add(longest + 10*time.Second)
		_ = c.SetReadDeadline(until) // where there is no connection there is no limit either
		_ = c.SetWriteDeadline(until)
	}
}

// ownSite refuses what a page of another site makes a browser send: the control API hands out codes and
// needs no password. Programs send neither header.
func ownSite(r *http.Request) error {
	foreign := apiError{http.StatusForbidden, "the control API is for this machine's programs and its own pages, not for pages of other sites"}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != scheme+r.Host {
		return foreign
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return nil
	}
	if r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return nil // somebody followed a link, and only they see where it leads
	}
	return foreign
}

// read decodes a body, which may be left out.
func read[T any](r *http.Request) (T, error) {
	var v T
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return v, refused("the body cannot be read")
	}
	if len(body) == 0 {
		return v, nil
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return v, apiError{http.StatusUnsupportedMediaType, "send application/json"}
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, refused("%v", err)
	}
	return v, nil
}

// A sentText is a text as the outbox shows it.
type sentText struct {
	ID      string `json:"id"`
	Channel string `json:"channel"`
	To      string `json:"to"`
	Body    string `json:"body"`
	SentAt  string `json:"sent_at"`
}

func (h *House) readOutbox(r *http.Request) (any, error) {
	texts, err := h.texts(r)
	if err != nil {
		return nil, err
	}
	all := []sentText{}
	for _, t := range texts {
		all = append(all, sentText{t.ID, t.Channel, t.To, t.Body, t.At.UTC().Format(time.RFC3339Nano)})
	}
	return all, nil
}

// texts are those that a request asks for: ?to= one number, ?wait= until there is one, ?after= newer than
// the one with that id.
func (h *House) texts(r *http.Request) ([]outbox.Text, error) {
	q := r.URL.Query()
	// A plus in a query is a space to those who decode it, and a plus to those who typed it.
	to := strings.Replace(q.Get("to"), " ", "+", 1)
	if !q.Has("wait") {
		return h.Outbox.Texts(to), nil
	}
	wait, err := time.ParseDuration(q.Get("wait"))
	if err != nil || wait < 0 || wait > longest {
		return nil, refused("wait is a time like 5s, at most %s", longest)
	}
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	go func() {
		select {
		case <-h.Stopping():
			leave()
		case <-ctx.Done():
		}
	}()
	return h.Outbox.Wait(ctx, to, q.Get("after"), wait), nil
}

func (h *House) emptyOutbox(*http.Request) (any, error) {
	h.Outbox.Empty()
	return []sentText{}, nil
}

type clockAnswer struct {
	Now string `json:"now"`
}

func (h *House) readClock(*http.Request) (any, error) {
	return clockAnswer{h.Clock.Now().UTC().Format(time.RFC3339Nano)}, nil
}

func (h *House) setClock(r *http.Request) (any, error) {
	in, err := read[struct {
		Advance string    `json:"advance"`
		Set     time.Time `json:"set"`
		Reset   bool      `json:"reset"`
	}](r)
	if err != nil {
		return nil, err
	}
	switch {
	case in.Advance != "":
		d, err := time.ParseDuration(in.Advance)
		if err != nil {
			return nil, refused("advance is a time like 31s: %v", err)
		}
		if err := within(d + time.Until(h.Clock.Now()).Abs()); err != nil {
			return nil, refused("advance: %v", err)
		}
		h.Clock.Advance(d)
	case !in.Set.IsZero():
		if err := within(time.Until(in.Set)); err != nil {
			return nil, refused("set: %v", err)
		}
		h.Clock.Set(in.Set)
	case in.Reset:
		h.Clock.Reset()
	default:
		return nil, refused(`say {"advance":"31s"}, {"set":"2026-01-02T15:04:05Z"} or {"reset":true}`)
	}
	return h.readClock(r)
}

func (h *House) readPins(*http.Request) (any, error) { return h.Pins.All(), nil }

func (h *House) pin(r *http.Request) (any, error) {
	pin, err := read[Pin](r)
	if err != nil {
		return nil, err
	}
	if err := h.Pins.Put(pin); err != nil {
		return nil, refused("%v", err)
	}
	return h.Pins.All(), nil
}

func (h *House) unpin(r *http.Request) (any, error) {
	in, err := read[struct {
		Pattern string `json:"pattern"`
	}](r)
	if err != nil {
		return nil, err
	}
	h.Pins.Drop(in.Pattern)
	return h.Pins.All(), nil
}

type gatewayFault struct {
	Fault outbox.Fault `json:"fault"`
	To    string       `json:"to"`
}

func (h *House) breakGateway(r *http.Request) (any, error) {
	in, err := read[gatewayFault](r)
	if err != nil {
		return nil, err
	}
	if in.To == "" {
		in.To = "*"
	}
	if err := h.Break(in.Fault, in.To); err != nil {
		return nil, refused("%v", err)
	}
	return in, nil
}

// Break makes the gateway misbehave towards the numbers that are like a pattern.
func (h *House) Break(f outbox.Fault, pattern string) error {
	switch f {
	case outbox.Refuse, outbox.Hang, outbox.Fail:
	default:
		return fmt.Errorf("fault is refuse, hang or fail, not %q", f)
	}
	if err := checkPattern(pattern); err != nil {
		return err
	}
	h.Outbox.Fault(pattern, f)
	h.Worker.Forgive()
	return nil
}

// Mend ends the fault of one pattern, or all faults if it is empty.
func (h *House) Mend(pattern string) {
	h.Outbox.Mend(pattern)
	h.Worker.Forgive()
}

func (h *House) mendGateway(r *http.Request) (any, error) {
	in, err := read[gatewayFault](r)
	if err != nil {
		return nil, err
	}
	h.Mend(in.To)
	return struct{}{}, nil
}

func (h *House) reset(r *http.Request) (any, error) {
	if err := h.Reset(r.Context()); err != nil {
		return nil, err
	}
	return h.readClock(r)
}
