package op

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/store"
)

// A refusal is an OAuth error with what HTTP adds to it.
type refusal struct {
	said      *oauth.Error
	status    int           // zero: what the code says
	challenge string        // WWW-Authenticate
	allow     string        // Allow
	retry     time.Duration // Retry-After
	limit     int           // of requests, where that was it (S-52)
	cause     error         // for the log
}

func (e *refusal) Error() string { return e.said.Error() }
func (e *refusal) Unwrap() error { return e.said }

var errNotFound = &refusal{said: &oauth.Error{Code: oauth.InvalidRequest, Description: "There is nothing at this address."}, status: http.StatusNotFound}

func notAllowed(methods []string) error {
	return &refusal{
		said:   &oauth.Error{Code: oauth.InvalidRequest, Description: "This address does not take that method."},
		status: http.StatusMethodNotAllowed, allow: strings.Join(methods, ", "),
	}
}

func invalidRequest(description string) error {
	return &oauth.Error{Code: oauth.InvalidRequest, Description: description}
}

// status is how RFC 6749 5.2 and RFC 6750 3.1 answer each code.
func status(c oauth.Code) int {
	switch c {
	case oauth.InvalidClient, oauth.InvalidToken:
		return http.StatusUnauthorized
	case oauth.InsufficientScope:
		return http.StatusForbidden
	case oauth.ServerError:
		return http.StatusInternalServerError
	case oauth.TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// understand finds the refusal in an error. What is none is our own failure and says nothing but where to look (S-51).
func understand(ctx context.Context, err error) *refusal {
	var (
		ready *refusal
		plain *oauth.Error
		f     *fault.Fault
	)
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &plain):
		return &refusal{said: plain}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable(msg.Unavailable, time.Second, err)
	case errors.As(err, &f):
		return ofFault(ctx, f)
	}
	return internal(ctx, err)
}

// ofFault says in OAuth's words what a service refused.
func ofFault(ctx context.Context, f *fault.Fault) *refusal {
	text := msg.Text(msg.English, f.Key, f.Params...)
	switch f.Kind {
	case fault.Unavailable:
		return unavailable(f.Key, f.Retry, f)
	case fault.Throttled:
		r := unavailable(f.Key, f.Retry, f)
		r.status = http.StatusTooManyRequests
		return r
	case fault.Invalid, fault.Notice:
		return &refusal{said: &oauth.Error{Code: oauth.InvalidRequest, Description: text}, cause: f}
	case fault.Denied, fault.Expired, fault.Forbidden:
		return &refusal{said: &oauth.Error{Code: oauth.AccessDenied, Description: text}, cause: f}
	}
	return internal(ctx, f)
}

func unavailable(k msg.Key, retry time.Duration, cause error) *refusal {
	e := &oauth.Error{Code: oauth.TemporarilyUnavailable, Description: msg.Text(msg.English, k)}
	return &refusal{said: e, retry: max(retry, time.Second), cause: cause}
}

func internal(ctx context.Context, cause error) *refusal {
	text := string(msg.InternalError)
	if id := obs.SourceOf(ctx).RequestID; id != "" {
		text += " (request " + id + ")"
	}
	return &refusal{said: &oauth.Error{Code: oauth.ServerError, Description: text}, cause: cause}
}

// refuse turns an error into an answer, and writes the log line.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error, to reader) reply {
	e := *understand(r.Context(), err)
	if e.status == 0 {
		e.status = status(e.said.Code)
	}
	a.report(r, &e)
	if e.challenge == "" && e.said.Code == oauth.InvalidClient && r.Header.Get("Authorization") != "" {
		e.challenge = `Basic realm="oauth2"` // RFC 6749 5.2
	}
	for name, value := range map[string]string{"WWW-Authenticate": e.challenge, "Allow": e.allow} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	if e.retry > 0 {
		seconds := int((e.retry + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		if e.limit > 0 { // by the real clock, like the answer's Date
			w.Header().Set("X-Rate-Limit-Limit", strconv.Itoa(e.limit))
			w.Header().Set("X-Rate-Limit-Remaining", "0")
			w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(time.Now().Unix()+int64(seconds), 10))
		}
	}
	if to == person {
		return errorPage(tongueOf(r, r.URL.Query().Get("ui_locales")), e.status, e.said)
	}
	answer := jsonReply(struct {
		Code        oauth.Code `json:"error"`
		Description string     `json:"error_description"`
	}{e.said.Code, e.said.Description})
	answer.status = e.status
	return answer
}

// report writes down a refusal: ours loudly, the client's in passing. Neither holds what was sent (S-72).
func (a *API) report(r *http.Request, e *refusal) {
	level := slog.LevelInfo
	if e.status >= 500 && r.Context().Err() != context.Canceled { // a caller that hangs up is no fault of ours
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		obs.Attrs(r.Context()), slog.String("endpoint", r.Pattern), slog.Int("status", e.status),
		slog.String("error", string(e.said.Code)), slog.String("description", e.said.Description),
	}
	if e.cause != nil {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	a.Log.LogAttrs(r.Context(), level, "oauth: refused", attrs...)
}

// jsonReply is an answer for programs.
func jsonReply(v any) reply {
	body, err := json.Marshal(v)
	if err != nil {
		panic("op: a reply that is no JSON: " + err.Error()) // our own structs: a programming error
	}
	return reply{kind: jsonType, body: body}
}

var jsonType = []string{"application/json; charset=utf-8"}
