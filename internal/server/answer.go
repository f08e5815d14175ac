package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/msg"
)

// A dialect is the language in which a client expects to be told what went wrong.
type dialect int

// The dialects.
const (
	page   dialect = iota // a person reads it
	idx                   // IDX messages
	oauth2                // RFC 6749 5.2
	api                   // JSON with an errorCode
)

// An answer watches what is written. Where a face, or something below it, refuses in plain text, the
// answer refuses in the dialect of the path instead: clients parse JSON whatever the status.
type answer struct {
	http.ResponseWriter
	dialect  dialect
	source   audit.Source
	loopback bool
	status   int
	bytes    int64
	mute     bool          // the body was replaced
	request  *http.Request // as a face got it; nil: none did
	span     trace.Span    // nil: nobody traces
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	switch {
	case status < 200: // informational: the answer is still to come
	case a.status != 0:
		return
	case status >= 400 && a.dialect != page && !isWorded(a.Header()):
		a.refuse(status)
		a.mute = true
		return
	default:
		a.status = status
	}
	if a.loopback {
		// A browser would keep it for the name localhost and all its ports, and lock a developer out of
		// every other server of theirs for a year.
		delete(a.Header(), "Strict-Transport-Security")
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.mute {
		return len(b), nil
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// isWorded reports that a face said itself what is wrong, to a program or to a person.
func isWorded(h http.Header) bool {
	kind := h.Get("Content-Type")
	return strings.Contains(kind, "json") || strings.HasPrefix(kind, "text/html")
}

// refuse answers with a status and its standard words.
func (a *answer) refuse(status int) {
	key, known := keys[status]
	switch {
	case known:
	case status >= 500:
		key = msg.InternalError
	default:
		key = msg.Malformed
	}
	h := a.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name) // of an answer that did not come to be
	}
	kind, body := a.words(status, key)
	h.Set("Content-Type", kind)
	if status == http.StatusRequestEntityTooLarge || status == http.StatusMisdirectedRequest {
		h.Set("Connection", "close") // nobody wants to read the rest
	}
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "2") // whoever refused for the moment, and did not say until when (S-80)
	}
	a.status = status
	a.ResponseWriter.WriteHeader(status)
	n, _ := a.ResponseWriter.Write(body)
	a.bytes += int64(n)
}

// keys are the texts that belong to a status; the codes clients know are in their names.
var keys = map[int]msg.Key{
	http.StatusNotFound:             msg.NotFound,
	http.StatusMethodNotAllowed:     msg.Method,
	http.StatusUnsupportedMediaType: msg.MediaType,
	http.StatusMisdirectedRequest:   msg.NotFound,
	http.StatusTooManyRequests:      msg.RateLimited,
	http.StatusServiceUnavailable:   msg.Unavailable,
	http.StatusGatewayTimeout:       msg.Unavailable,
}

// words says it in the client's dialect. A 5xx says its key and the request id, nothing else (S-51).
func (a *answer) words(status int, key msg.Key) (kind string, body []byte) {
	language := msg.English
	if a.dialect == idx || a.dialect == page {
		language = msg.Match(a.source.Language)
	}
	text := msg.Text(language, key)
	switch a.dialect {
	case page:
		return "text/plain; charset=utf-8", fmt.Appendf(nil, "%s (%d)\n", text, status)
	case idx:
		type message struct {
			Message string            `json:"message"`
			I18n    map[string]string `json:"i18n"`
			Class   string            `json:"class"`
		}
		doc := map[string]any{"version": "1.0.0", "errorId": a.source.RequestID}
		if key == msg.RateLimited {
			rateLimited(doc, text)
			key, text = msg.TooManyRequests, msg.Text(language, msg.TooManyRequests)
		}
		doc["messages"] = map[string]any{"type": "array", "value": []message{{text, map[string]string{"key": string(key)}, "ERROR"}}}
		return "application/json; okta-version=1.0.0; charset=utf-8", marshal(doc)
	case oauth2:
		code := "invalid_request"
		switch {
		case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
			code = "temporarily_unavailable"
		case status >= 500:
			code, text = "server_error", text+", request "+a.source.RequestID
		}
		return "application/json; charset=utf-8", marshal(map[string]any{"error": code, "error_description": text})
	}
	code := strings.TrimPrefix(string(key), "errors.")
	return "application/json; charset=utf-8", marshal(map[string]any{
		"errorCode": code, "errorSummary": text, "errorLink": code, "errorId": a.source.RequestID, "errorCauses": []any{},
	})
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings in maps do not fail
	}
	return append(b, '\n')
}

// saying is what may be told of a panic.
func saying(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a %T", p)
}
