package signin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey.dev/idx"
)

// answer takes what a page of a sign-in sends. Whatever comes of it, the browser is told to go and read a page, so that
// reload and back repeat nothing. The same form sent twice at once is one answer.
func (s *Pages) answer(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("ref")
	b, _ := s.known(r) // guarded has seen it
	if !validRef(ref) {
		s.missing(w, r)
		return
	}
	s.flights.once(b.id+ref+digest(r.PostForm.Encode()), w, func(w http.ResponseWriter) {
		ctx, cancel := patient(r.Context())
		defer cancel()
		s.take(w, r.WithContext(ctx), b, ref)
	})
}

// An attempt is one submitted form on its way to the engine.
type attempt struct {
	parked
	client *idx.Client
	tx     *idx.Transaction
	step   string // the one that the form was drawn for
	do     string // resend, skip, poll, door; empty is an answer
	posted url.Values
}

func (s *Pages) take(w http.ResponseWriter, r *http.Request, b browser, ref string) {
	a := attempt{client: s.speaker(r, b), step: r.PostForm.Get("step"), do: r.PostForm.Get("do"), posted: r.PostForm}
	a.ref = ref
	if err := s.reach(w, r, b, &a); err != nil {
		s.fail(w, r, b, a.parked, err)
		return
	}
	if a.tx == nil {
		s.toPage(w, r, ref) // there it says what became of this sign-in
		return
	}
	a.note.Says, a.note.Step = nil, ""
	next, err := s.submit(r.Context(), &a)
	s.outcome(w, r, b, a, next, err)
}

// reach finds the sign-in that the form belongs to and reads where it stands. It leaves a.tx nil if that is over.
//
// A name and a password speak for themselves: if their sign-in has expired, was finished in another tab or already knows
// somebody, they begin a new one instead of being lost, or worse, continuing somebody else's.
func (s *Pages) reach(w http.ResponseWriter, r *http.Request, b browser, a *attempt) error {
	fresh := a.step == "identify" && a.do == "" && !s.cfg.Hosted
	p, ok := s.parked(r, b, a.ref)
	if ok && p.sealed != "" {
		a.parked = p
		tx, err := s.resume(r.Context(), a.client, p)
		switch {
		case over(err):
		case err != nil:
			return err
		default:
			a.tx = tx
		}
	}
	if !fresh {
		return nil
	}
	if a.tx != nil {
		if _, ok := a.tx.Step("identify"); ok {
			return nil
		}
		a.ref = newRef() // the other tab keeps the sign-in that it is at
	}
	a.sealed, a.note = "", note{}
	s.makeRoom(w, r, b)
	tx, err := a.client.Start(r.Context())
	a.tx = tx
	return err
}

// resume reads where a parked sign-in stands.
func (s *Pages) resume(ctx context.Context, c *idx.Client, p parked) (*idx.Transaction, error) {
	tx, err := s.sealer.Open(p.sealed)
	if err != nil {
		return nil, err
	}
	return c.Resume(ctx, tx)
}

// over tells that the engine has no such sign-in (any more).
func over(err error) bool {
	return errors.Is(err, idx.ErrExpired) || errors.Is(err, idx.ErrNoTransaction)
}

// errMoved means that the form was for a step that the sign-in is no longer at.
var errMoved = errors.New("signin: the sign-in has moved on")

// problems are what is wrong with an answer that is not worth sending.
type problems []say

func (problems) Error() string { return "signin: the answer is incomplete" }

// submit does with the engine what the form asks for.
func (s *Pages) submit(ctx context.Context, a *attempt) (*idx.Transaction, error) {
	current := a.tx.NextStep()
	if a.do != "" && a.do != "door" && (current == nil || current.Name != a.step) {
		return nil, errMoved
	}
	step, ok := a.tx.Step(a.step)
	if !ok {
		return nil, errMoved
	}
	switch a.do {
	case "resend":
		return a.client.Resend(ctx, a.tx)
	case "skip":
		return a.client.Skip(ctx, a.tx)
	case "poll":
		return a.client.Poll(ctx, a.tx)
	case "door":
		return a.client.Proceed(ctx, a.tx, step.Name, nil)
	}
	values, wrong := a.values(step)
	if len(wrong) > 0 {
		return nil, wrong
	}
	return a.client.Proceed(ctx, a.tx, step.Name, values)
}

// values reads the form as the step's values, and remembers what may be shown again.
func (a *attempt) values(step *idx.NextStep) (idx.Values, problems) {
	values, wrong := idx.Values{}, problems(nil)
	pick := a.posted.Get("pick")
	for path, in := range step.Fields() {
		if in.ReadOnly || in.Hidden {
			continue
		}
		if len(in.Options) == 0 {
			wrong = append(wrong, a.value(values, step, path, "v."+path, in)...)
			continue
		}
		picked := a.posted.Get("v." + path)
		o, ok := option(in.Options, cmp.Or(picked, pick))
		switch {
		case ok && o.Value != nil && len(o.Inputs) == 0:
			values[path] = o.Value
		case ok:
			extra, sub := idx.Values{}, "v."
			if picked != "" {
				sub = "v." + path + "." + picked + "."
			}
			for inner, leaf := range leaves(o.Inputs, "") {
				if a.posted.Has(sub + inner) { // the list is answered without, the page for one option with
					wrong = append(wrong, a.value(extra, step, inner, sub+inner, leaf)...)
				}
			}
			values[path] = o.Choose(extra)
		case in.Required || pick != "" || picked != "" || slices.ContainsFunc(in.Options, func(o idx.Option) bool { return o.Authenticator != nil }):
			wrong = append(wrong, say{Key: "need.choice", Field: path, Bad: true})
		}
	}
	return values, wrong
}

// option is the one that a form names.
func option(options []idx.Option, name string) (idx.Option, bool) {
	i := slices.IndexFunc(options, func(o idx.Option) bool { return optionValue(o) == name || token(o) == name })
	if i < 0 {
		return idx.Option{}, false
	}
	return options[i], true
}

// value reads one field of the form.
func (a *attempt) value(values idx.Values, step *idx.NextStep, path, name string, in idx.Input) problems {
	typed := a.posted.Get(name)
	d := draft{step: step}
	need := "need.value"
	switch field := last(path); {
	case len(in.Options) > 0:
		o, ok := option(in.Options, typed)
		if !ok {
			return problems{{Key: "need.choice", Field: path, Bad: true}}
		}
		values[path] = o.Value
		return nil
	case in.Type == "boolean":
		if field == "rememberMe" {
			a.note.Remember = typed == "true"
		}
		if typed == "true" || in.Required {
			values[path] = typed == "true"
		}
		return nil
	case field == "phoneNumber":
		a.note.Phone = cut(typed, 40)
		number, problem := phoneNumber(typed)
		if problem != "" {
			return problems{{Key: problem, Field: path, Bad: true}}
		}
		a.note.To = masked(number)
		typed = number
	case d.oneTime(field):
		typed = strings.Join(strings.FieldsFunc(typed, func(r rune) bool { return r == ' ' || r == '-' || r == '\u00a0' || r == '\t' }), "")
		need = "need.code.app"
		if kind := step.Authenticator.Type; kind == "phone" || kind == "email" {
			need = "need.code"
		}
		if typed != "" && d.sixDigits() && (len(typed) != 6 || strings.Trim(typed, "0123456789") != "") {
			return problems{{Key: "need.code.digits", Field: path, Bad: true}}
		}
	case field == "identifier":
		typed = strings.TrimSpace(typed)
		a.note.Username, need = cut(typed, 254), "need.username"
	case in.Secret:
		need = "need.password"
	}
	if typed == "" {
		if in.Required || in.Secret || d.oneTime(last(path)) {
			return problems{{Key: need, Field: path, Bad: true}}
		}
		return nil
	}
	values[path] = typed
	return nil
}

// cut shortens s to at most n bytes, at a letter.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// outcome turns what the engine said into what the browser is told.
func (s *Pages) outcome(w http.ResponseWriter, r *http.Request, b browser, a attempt, next *idx.Transaction, err error) {
	var wrong problems
	var no *idx.RejectedError
	var input *idx.InputError
	var broken *idx.ServerError
	switch {
	case err == nil:
		s.advance(w, r, b, a, next)
		return
	case over(err):
		s.toPage(w, r, a.ref)
		return
	case errors.As(err, &wrong):
		a.note.Says, a.note.Step = wrong, a.step
	case errors.As(err, &no):
		a.note.Says = a.saysOf(no.Messages)
		if len(a.note.Says) == 0 {
			a.note.Says = []say{{Key: "notice.internal", Bad: true}}
		}
		if no.Transaction != nil && no.Transaction.Status() == idx.StatusPending {
			a.tx = no.Transaction
		}
	case errors.As(err, &input):
		s.log.Warn("signin: the form lacks what the step needs", "step", input.Step, "path", input.Path, "reason", input.Reason)
		a.note.Says = []say{{Key: "need.value", Field: input.Path, Bad: true}}
	case errors.Is(err, errMoved), errors.Is(err, idx.ErrNotOffered), errors.Is(err, idx.ErrAmbiguous):
		a.note.Says = []say{{Key: "notice.moved"}}
	case errors.As(err, &broken) && tongue{texts: catalogues()[fallback]}.has(broken.Code):
		a.note.Says = []say{{Key: broken.Code, Bad: true}} // it failed, but it knows why
	default:
		s.fail(w, r, b, a.parked, err)
		return
	}
	// After a refusal the sign-in stands where it stood, even if the answer offered nothing (idx.md 7.4): the next page
	// reads it again and says what was wrong.
	if err := s.settle(w, b, a.parked, a.tx); err != nil {
		s.fail(w, r, b, a.parked, err)
		return
	}
	if view := a.posted.Get("view"); view == viewNumber {
		http.Redirect(w, r, s.base+"/"+a.ref+"?view="+view, http.StatusSeeOther) // what is to be mended is there
		return
	}
	s.toPage(w, r, a.ref)
}

// advance goes on to the next step, or out.
func (s *Pages) advance(w http.ResponseWriter, r *http.Request, b browser, a attempt, next *idx.Transaction) {
	switch status := next.Status(); {
	case status == idx.StatusSuccess && s.cfg.Hosted:
		s.leave(w, r, a.parked, next)
		return
	case status == idx.StatusSuccess && next.InteractionCode() != "":
		s.finish(w, r, a, next)
		return
	case status == idx.StatusTerminal, status == idx.StatusCanceled:
		a.sealed, a.note.Says = "", a.saysOf(next.Messages())
		s.park(w, b, a.parked)
		s.toPage(w, r, a.ref)
		return
	}
	a.note.Says = a.saysOf(next.Messages())
	if step := next.NextStep(); step != nil && codeStep(step) {
		a.note.Sent = s.now().Unix()
		if a.do == "resend" && len(a.note.Says) == 0 {
			to := a.note.To
			if step.Authenticator.Hint != "" {
				to = hint(step.Authenticator.Hint)
			}
			a.note.Says = []say{{Key: "notice.new", Arg: to}}
			if to == "" {
				a.note.Says = []say{{Key: "notice.new.nowhere"}}
			}
		}
	}
	if err := s.settle(w, b, a.parked, next); err != nil {
		s.fail(w, r, b, a.parked, err)
		return
	}
	s.toPage(w, r, a.ref)
}

// codeStep tells whether a step waits for a code that was sent.
func codeStep(step *idx.NextStep) bool {
	return (step.Name == "challenge-authenticator" || step.Name == "enroll-authenticator") && step.Authenticator != nil &&
		(step.Authenticator.Type == "phone" || step.Authenticator.Type == "email")
}

// saysOf are the engine's messages in the words of the page that asked.
func (a *attempt) saysOf(messages []idx.Message) []say {
	var says []say
	for _, m := range messages {
		one := say{Key: m.Key, Text: cut(m.Text, maxText), Field: m.Field, Bad: m.Class == "ERROR"}
		switch m.Key {
		case "tooManyRequests":
			// The engine has one key for all its limits; which one was met depends on what was asked.
			step, _ := a.tx.Step(a.step)
			switch {
			case a.do == "resend" || strings.HasPrefix(a.step, "select-authenticator-") || strings.HasSuffix(a.step, "-data"):
				one.Key = "resend.early"
			case step != nil && codeStep(step):
				one.Key = "code.spent"
			}
		case "idx.unknown.user": // INFO on the wire, and yet the sign-in did not go on
			one.Bad, one.Field = true, cmp.Or(one.Field, "identifier")
		case "api.factors.error.sms.invalid_phone":
			one.Field = cmp.Or(one.Field, "phoneNumber")
		}
		if !slices.Contains(says, one) {
			says = append(says, one)
		}
	}
	return says
}

// finish turns success into tokens, the tokens into a session, and sends the browser on.
func (s *Pages) finish(w http.ResponseWriter, r *http.Request, a attempt, tx *idx.Transaction) {
	s.forget(w, a.ref)
	ctx := r.Context()
	tokens, err := a.client.Exchange(ctx, tx)
	if err != nil && idx.Retryable(err) {
		tokens, err = a.client.Exchange(ctx, tx)
	}
	if err != nil {
		s.log.Error("signin: code not exchanged", "error", err)
		s.refuse(w, r, http.StatusBadGateway, "broken")
		return
	}
	user, err := a.client.UserInfo(ctx, tokens)
	if err != nil { // the ID token says who it is; only the profile is thinner
		s.log.Warn("signin: userinfo not read", "error", err)
		user = &idx.UserInfo{Subject: tokens.Subject, Claims: tokens.Claims}
	}
	if s.cfg.OnSignIn != nil {
		s.cfg.OnSignIn(w, r, tokens, user)
		return
	}
	if err := s.begin(ctx, w, r, tokens, user); err != nil {
		s.log.Error("signin: session not kept", "error", err)
		s.refuse(w, r, http.StatusBadGateway, "broken")
		return
	}
	http.Redirect(w, r, cmp.Or(s.cfg.AfterSignIn, s.base+"/profile"), http.StatusSeeOther)
}

// anew gives up the sign-in that the form names, if it names one, and begins another.
func (s *Pages) anew(w http.ResponseWriter, r *http.Request) {
	b, _ := s.known(r)
	s.flights.once(b.id+"new"+digest(r.PostForm.Encode()), w, func(w http.ResponseWriter) {
		ctx, cancel := patient(r.Context())
		defer cancel()
		r := r.WithContext(ctx)
		if s.cfg.Hosted {
			s.restart(w, r, b)
			return
		}
		client := s.speaker(r, b)
		if p, ok := s.parked(r, b, r.PostForm.Get("ref")); ok {
			if tx, err := s.sealer.Open(p.sealed); err == nil {
				if _, err := client.Cancel(ctx, tx); err != nil && !over(err) {
					s.log.Warn("signin: sign-in not cancelled", "error", err)
				}
			}
			s.forget(w, p.ref)
		}
		p, _, err := s.start(w, r, b, client)
		if err != nil {
			s.fail(w, r, b, parked{}, err)
			return
		}
		s.toPage(w, r, p.ref)
	})
}

// start begins a sign-in and parks it.
func (s *Pages) start(w http.ResponseWriter, r *http.Request, b browser, client *idx.Client) (parked, *idx.Transaction, error) {
	tx, err := client.Start(r.Context())
	if err != nil {
		return parked{}, nil, err
	}
	s.makeRoom(w, r, b)
	p := parked{ref: newRef()}
	return p, tx, s.settle(w, b, p, tx)
}

// makeRoom lets the oldest sign-ins of a browser give way to a new one.
func (s *Pages) makeRoom(w http.ResponseWriter, r *http.Request, b browser) {
	all := s.allParked(r, b)
	for _, old := range all[min(len(all), maxParked-1):] {
		s.forget(w, old.ref)
	}
}

// toPage sends the browser to the page of a sign-in.
func (s *Pages) toPage(w http.ResponseWriter, r *http.Request, ref string) {
	http.Redirect(w, r, s.base+"/"+ref, http.StatusSeeOther)
}

// Callback is for the redirect URI: the browser returns there from an identity provider, or with a link from a mail, and
// its sign-in goes on. The state in the address says which of the browser's sign-ins it is (RFC 6749 10.12); one that the
// browser does not have goes nowhere.
func (s *Pages) Callback(w http.ResponseWriter, r *http.Request) {
	s.headers(w.Header())
	b, _ := s.known(r)
	query := r.URL.Query()
	for _, p := range s.allParked(r, b) {
		tx, err := s.sealer.Open(p.sealed)
		if err != nil || query.Get("state") == "" || tx.State() != query.Get("state") {
			continue
		}
		ctx, cancel := patient(r.Context())
		defer cancel()
		r := r.WithContext(ctx)
		a := attempt{parked: p, client: s.speaker(r, b), tx: tx}
		a.note.Says = nil
		next, err := a.client.Callback(ctx, tx, query)
		s.outcome(w, r, b, a, next, err)
		return
	}
	s.toEntry(w, r)
}
