// Package idxapi speaks the IDX wire: the JSON endpoints under /idp/idx/.
//
// It decodes strictly, calls the engine, and draws the engine's page as an ION document. It holds no
// rules: what may be done next comes from the page. What the documents must hold for which client is in
// the protocol reference; the shapes are in ion.go, the drawing in draw.go.
package idxapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
)

// Engine is what the wire needs of the engine.
type Engine interface {
	Introspect(ctx context.Context, interaction, state secret.Text) (*engine.Page, error)
	Identify(ctx context.Context, handle secret.Text, c engine.Claimant) (*engine.Page, error)
	ChooseToVerify(ctx context.Context, handle secret.Text, c engine.Choice) (*engine.Page, error)
	ChooseToEnroll(ctx context.Context, handle secret.Text, c engine.Choice) (*engine.Page, error)
	Answer(ctx context.Context, handle, answer secret.Text) (*engine.Page, error)
	Resend(ctx context.Context, handle secret.Text) (*engine.Page, error)
	Skip(ctx context.Context, handle secret.Text) (*engine.Page, error)
	Cancel(ctx context.Context, handle secret.Text) (*engine.Page, error)
}

// Config is what the API needs.
type Config struct {
	Engine Engine
	Origin string // https://id.example: every href begins with it (S-46)
	Log    *slog.Logger

	Count   Count       // requests of a handle (S-52); nil counts none
	Crowded func() bool // nobody should begin now (S-85); nil is never
}

// API serves the IDX endpoints.
type API struct {
	Config
	steps map[string]step // by path
}

// New returns the handler of everything under /idp/idx/.
func New(c Config) *API {
	a := &API{Config: c}
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	a.steps = a.routes()
	return a
}

// ServeHTTP takes a path as it is. A mux would answer an unclean one with a redirect, which no IDX client
// follows and which repeats what was sent (S-49).
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	step, ok := a.steps[r.URL.Path]
	if !ok {
		a.refuse(w, r, nil, http.StatusNotFound, &fault.Fault{Key: msg.NotFound, Bare: true})
		return
	}
	r.Pattern = r.URL.Path // as a mux would say it: one of few
	a.handle(w, r, step)
}

// routes lists every endpoint.
func (a *API) routes() map[string]step {
	return map[string]step{
		"/idp/idx/introspect":        a.introspect,
		"/idp/idx/identify":          a.identify,
		"/idp/idx/challenge":         a.challenge,
		"/idp/idx/challenge/answer":  a.answer,
		"/idp/idx/challenge/resend":  a.resend,
		"/idp/idx/credential/enroll": a.enroll,
		"/idp/idx/skip":              a.skip,
		"/idp/idx/cancel":            a.cancel,
	}
}

// A step decodes, calls, returns. A page beside an error is where the person stands after a refusal.
type step func(ctx context.Context, b body) (*engine.Page, error)

func (a *API) introspect(ctx context.Context, b body) (*engine.Page, error) {
	interaction := b.text("interactionHandle", false)
	state := b.text("stateToken", false)
	if state == "" {
		state = b.text("stateHandle", false)
	}
	if err := b.fail(); err != nil {
		return nil, err
	}
	if interaction == "" && state == "" {
		return nil, missing("interactionHandle")
	}
	return a.Engine.Introspect(ctx, secret.Text(interaction), secret.Text(state))
}

func (a *API) identify(ctx context.Context, b body) (*engine.Page, error) {
	handle := b.handle()
	login := b.text("identifier", false)
	passcode, typed := b.object("credentials").optional("passcode")
	if err := b.fail(); err != nil {
		return nil, err
	}
	if len([]rune(login)) > maxIdentifier {
		return nil, fault.New(fault.Invalid, msg.Malformed, "identifier of %d characters", len([]rune(login)))
	}
	return a.Engine.Identify(ctx, handle, engine.Claimant{Login: login, Password: secret.Text(passcode), Typed: typed})
}

func (a *API) challenge(ctx context.Context, b body) (*engine.Page, error) {
	handle, choice := b.handle(), b.choice()
	if err := b.fail(); err != nil {
		return nil, err
	}
	choice.Number = "" // a number in a challenge is not taken (S-22)
	return a.Engine.ChooseToVerify(ctx, handle, choice)
}

func (a *API) enroll(ctx context.Context, b body) (*engine.Page, error) {
	handle, choice := b.handle(), b.choice()
	if err := b.fail(); err != nil {
		return nil, err
	}
	return a.Engine.ChooseToEnroll(ctx, handle, choice)
}

func (a *API) answer(ctx context.Context, b body) (*engine.Page, error) {
	handle := b.handle()
	passcode := b.object("credentials").text("passcode", true)
	if err := b.fail(); err != nil {
		return nil, err
	}
	return a.Engine.Answer(ctx, handle, secret.Text(passcode))
}

func (a *API) resend(ctx context.Context, b body) (*engine.Page, error) {
	return onHandle(ctx, b, a.Engine.Resend)
}

func (a *API) skip(ctx context.Context, b body) (*engine.Page, error) {
	return onHandle(ctx, b, a.Engine.Skip)
}

func (a *API) cancel(ctx context.Context, b body) (*engine.Page, error) {
	return onHandle(ctx, b, a.Engine.Cancel)
}

func onHandle(ctx context.Context, b body, do func(context.Context, secret.Text) (*engine.Page, error)) (*engine.Page, error) {
	handle := b.handle()
	if err := b.fail(); err != nil {
		return nil, err
	}
	return do(ctx, handle)
}

func missing(field string) error {
	return fault.New(fault.Invalid, msg.FieldRequired, "no %s", field).With(field).At(field)
}

// handle wraps a step: method, media type, body, and the only place that sees the ResponseWriter.
func (a *API) handle(w http.ResponseWriter, r *http.Request, do step) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		a.refuse(w, r, nil, http.StatusMethodNotAllowed, &fault.Fault{Key: msg.Method, Bare: true})
		return
	}
	if status, f := mediaType(r); f != nil {
		a.refuse(w, r, nil, status, f)
		return
	}
	b, err := decode(w, r)
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			a.refuse(w, r, nil, http.StatusRequestEntityTooLarge, &fault.Fault{Key: msg.Malformed, Bare: true})
			return
		}
		a.answerFault(w, r, nil, err)
		return
	}
	if !a.admit(w, r, b) {
		return
	}
	ctx, span := obs.Begin(r.Context(), "engine."+strings.TrimPrefix(r.URL.Path, "/idp/idx/"))
	page, err := do(engine.WithDevice(ctx, a.deviceOf(r)), b)
	if err != nil && fault.As(err).Kind == fault.Internal {
		span.Fail() // that somebody is refused is no failure
	}
	span.End(nil)
	if err == nil {
		if page.Device != "" {
			a.remember(w, page.Device)
		}
		a.write(w, http.StatusOK, a.draw(page, language(r), nil))
		return
	}
	if k := fault.As(err).Kind; page == nil && (k == fault.Invalid || k == fault.Throttled) {
		page = a.standing(r, b)
	}
	a.answerFault(w, r, page, err)
}

// standing is the page to show beside a body that could not be used, if its handle names one: the client
// stays on its step and can correct what it sent (idx 4.7).
func (a *API) standing(r *http.Request, b body) *engine.Page {
	state, _ := b.members["stateHandle"].(string)
	if state == "" {
		return nil
	}
	page, err := a.Engine.Introspect(r.Context(), "", secret.Text(state))
	if err != nil {
		return nil
	}
	return page
}

// mediaType accepts JSON in its two names, with any parameters, and nothing else (S-41): no simple
// cross-site request has such a type.
func mediaType(r *http.Request) (int, *fault.Fault) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && kind != "application/ion+json" || r.Header.Get("Content-Encoding") != "" {
		return http.StatusUnsupportedMediaType, &fault.Fault{Key: msg.MediaType, Bare: true}
	}
	if v, ok := params["okta-version"]; ok && v != version {
		return http.StatusBadRequest, &fault.Fault{Key: msg.MediaType, Bare: true}
	}
	return 0, nil
}

// answerFault writes a refusal with the status of its kind.
func (a *API) answerFault(w http.ResponseWriter, r *http.Request, p *engine.Page, err error) {
	f := fault.As(err)
	status := http.StatusInternalServerError
	switch f.Kind {
	case fault.Notice:
		status = http.StatusOK
	case fault.Invalid:
		status = http.StatusBadRequest
	case fault.Denied, fault.Expired:
		status = http.StatusUnauthorized
	case fault.Forbidden:
		status = http.StatusForbidden
	case fault.Throttled:
		status = http.StatusTooManyRequests
	case fault.Unavailable:
		status = http.StatusServiceUnavailable
	default:
		f, p = &fault.Fault{Key: msg.InternalError, Bare: true}, nil
		a.Log.LogAttrs(r.Context(), slog.LevelError, "idx step failed", slog.String("path", r.URL.Path), slog.Any("error", err), obs.Attrs(r.Context()))
	}
	a.refuse(w, r, p, status, f)
}

// refuse writes a document with messages. Its type is JSON and not ION: clients read the body of a failure only so.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, p *engine.Page, status int, f *fault.Fault) {
	if f.Retry > 0 {
		wait(w.Header(), status, int(math.Ceil(f.Retry.Seconds())))
	}
	d := a.draw(p, language(r), f)
	if status >= http.StatusInternalServerError {
		d.ErrorID = obs.SourceOf(r.Context()).RequestID // all that is said of our own failures (S-51)
	}
	a.write(w, status, d)
}

// wait says when trying again makes sense. The Swift SDK knows that from x-rate-limit-reset alone, believes
// it only with the other two, and compares it with the answer's Date, which follows no clock but the real
// one. How many are allowed is nobody's business (S-36): one, and it is used up.
func wait(h http.Header, status, seconds int) {
	h.Set("Retry-After", strconv.Itoa(seconds))
	if status == http.StatusTooManyRequests {
		h.Set("X-Rate-Limit-Limit", "1")
		h.Set("X-Rate-Limit-Remaining", "0")
		h.Set("X-Rate-Limit-Reset", strconv.FormatInt(time.Now().Unix()+int64(seconds), 10))
	}
}

func language(r *http.Request) msg.Lang { return msg.Match(r.Header.Get("Accept-Language")) }

const version = "1.0.0"

const (
	typeION  = "application/ion+json; okta-version=1.0.0"
	typeJSON = "application/json; okta-version=1.0.0; charset=utf-8"
)

func (a *API) write(w http.ResponseWriter, status int, d document) {
	b, err := json.Marshal(d)
	if err != nil {
		a.Log.Error("idx document cannot be written", "error", err) // a programming error: every value in it is ours
		status, b = http.StatusInternalServerError, []byte(`{"version":"1.0.0"}`)
	}
	h := w.Header()
	h.Set("Content-Type", typeION)
	if status != http.StatusOK {
		h.Set("Content-Type", typeJSON)
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b)
}

// timestamp is the one form that the mobile SDKs parse: UTC, three digits, a literal Z.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// choice reads an authenticator as clients name it.
func (b body) choice() engine.Choice {
	o := b.object("authenticator")
	return engine.Choice{
		Authenticator: ident.AuthenticatorID(o.text("id", true)),
		Enrollment:    ident.EnrollmentID(o.text("enrollmentId", false)),
		Method:        ident.Method(o.text("methodType", false)),
		Number:        secret.Text(strings.TrimSpace(o.text("phoneNumber", false))),
	}
}
