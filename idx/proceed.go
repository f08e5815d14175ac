package idx

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A StartParam is one more parameter of the interact request: activation_token, recovery_token, max_age, acr_values,
// login_hint and whatever else the engine understands. What the client itself sends cannot be replaced, save state and nonce.
type StartParam struct{ Name, Value string }

// Start begins a sign-in and reads its first step.
func (c *Client) Start(ctx context.Context, p ...StartParam) (*Transaction, error) {
	s := &snapshot{client: c.core.fingerprint, state: random(), nonce: random(), verifier: random()}
	challenge := sha256.Sum256([]byte(s.verifier))
	form := url.Values{
		"client_id":             {c.core.clientID},
		"redirect_uri":          {c.core.redirectURI},
		"scope":                 {c.core.scope},
		"code_challenge":        {b64.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	for _, param := range p {
		if err := s.take(param, form); err != nil {
			return nil, err
		}
	}
	form.Set("state", s.state)
	form.Set("nonce", s.nonce)
	r, err := c.oauthRequest("interact", c.core.oauth+"/v1/interact", form)
	if err != nil {
		return nil, err
	}
	r.secrets = append(r.secrets, s.verifier, s.nonce)
	a, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	var got struct {
		Handle string `json:"interaction_handle"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got.Handle == "" {
		return nil, c.failure(r, a)
	}
	s.handle = got.Handle
	return c.introspect(ctx, &Transaction{s})
}

// Adopt takes over a sign-in that somebody else began, by its interaction handle: the engine itself, whose own pages are a
// client like any other. There is no code to exchange at its end: on success the browser goes to [Transaction.RedirectURL].
func (c *Client) Adopt(ctx context.Context, interactionHandle string) (*Transaction, error) {
	if interactionHandle == "" {
		return nil, ErrNoTransaction
	}
	return c.introspect(ctx, &Transaction{&snapshot{client: c.core.fingerprint, handle: interactionHandle, state: random(), adopted: true}})
}

// Restart gives up what was shown so far and begins the same sign-in again, at its first page. It is [ErrNotOffered] where
// the engine answers a cancel with an end.
func (c *Client) Restart(ctx context.Context, tx *Transaction) (*Transaction, error) {
	tx, err := c.open(ctx, tx)
	if err != nil {
		return nil, err
	}
	f := tx.doc.doc.cancelForm()
	if f == nil {
		return nil, notOffered(tx, "cancel")
	}
	next, err := c.post(ctx, tx, f, nil, false)
	if err != nil {
		return nil, err
	}
	if next.Status() != StatusPending || next.doc.doc.stateHandle == "" {
		return nil, notOffered(next, "cancel")
	}
	return next.with(func(s *snapshot) { s.again = s.doc.stateHandle }), nil
}

// take applies one parameter of the caller.
func (s *snapshot) take(p StartParam, form url.Values) error {
	refuse := func(why string) error { return &InputError{Step: "interact", Path: p.Name, Reason: why} }
	switch p.Name {
	case "state", "nonce":
		if len(p.Value) < 16 {
			return refuse("it is too short to be unguessable")
		}
		if p.Name == "state" {
			s.state = p.Value
		} else {
			s.nonce = p.Value
		}
		return nil
	case "max_age":
		n, err := strconv.ParseInt(p.Value, 10, 64)
		if err != nil || n < 0 {
			return refuse("it is not a number of seconds")
		}
		s.maxAge = &n
	case "", "scope", "client_secret", "client_assertion", "client_assertion_type":
		return refuse("the client sets it itself")
	}
	if form.Has(p.Name) {
		return refuse("the client sets it itself, or it is given twice")
	}
	form.Set(p.Name, p.Value)
	return nil
}

// introspect reads the current step. It changes nothing at the engine.
func (c *Client) introspect(ctx context.Context, tx *Transaction) (*Transaction, error) {
	by := map[string]string{"interactionHandle": tx.doc.handle}
	if tx.doc.again != "" {
		by = map[string]string{"stateHandle": tx.doc.again}
	}
	body, err := json.Marshal(by)
	if err != nil {
		return nil, err
	}
	r := request{
		op: "introspect", method: http.MethodPost, url: c.core.root.JoinPath("idp/idx/introspect"), body: body, read: true,
		header:  http.Header{"Content-Type": {ionJSON}, "Accept": {ionJSON}},
		secrets: tx.secrets(),
	}
	a, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.answered(r, tx, a)
}

// open makes tx ready for a step: it must be this client's and unfinished, and a parked one is read first.
func (c *Client) open(ctx context.Context, tx *Transaction) (*Transaction, error) {
	switch {
	case !tx.valid():
		return nil, ErrNoTransaction
	case tx.doc.client != c.core.fingerprint:
		return nil, fmt.Errorf("%w: it belongs to another issuer or client", ErrNoTransaction)
	case tx.doc.canceled:
		return nil, fmt.Errorf("%w: it is canceled", ErrNoTransaction)
	case tx.Status() == StatusParked:
		return c.introspect(ctx, tx)
	}
	return tx, nil
}

// Resume reads the current step again and changes nothing. A successful transaction comes back as it is: the engine
// has nothing more to say about it.
func (c *Client) Resume(ctx context.Context, tx *Transaction) (*Transaction, error) {
	was := tx.Status()
	tx, err := c.open(ctx, tx)
	if err != nil || was == StatusParked || was == StatusSuccess {
		return tx, err
	}
	return c.introspect(ctx, tx)
}

// Proceed is the exact path: one step by its wire name, one request, whether or not this package has heard of it.
func (c *Client) Proceed(ctx context.Context, tx *Transaction, step string, v Values) (*Transaction, error) {
	tx, err := c.open(ctx, tx)
	if err != nil {
		return nil, err
	}
	if d := tx.document(); d != nil {
		if f := d.find(step); f != nil {
			return c.post(ctx, tx, f, v, false)
		}
	}
	return nil, notOffered(tx, step)
}

func notOffered(tx *Transaction, step string) error {
	return &InputError{Transaction: tx, Step: step, Reason: "the engine does not offer it now", cause: ErrNotOffered}
}

// Skip passes over the current step, if the engine allows it ([NextStep.CanSkip]); else it is [ErrNotOffered].
func (c *Client) Skip(ctx context.Context, tx *Transaction) (*Transaction, error) {
	return c.Proceed(ctx, tx, "skip", nil)
}

// Resend asks for another code or message, if the engine allows it ([NextStep.CanResend]); else it is [ErrNotOffered].
func (c *Client) Resend(ctx context.Context, tx *Transaction) (*Transaction, error) {
	tx, err := c.open(ctx, tx)
	if err != nil {
		return nil, err
	}
	if d := tx.document(); d != nil {
		if f := d.resend(); f != nil {
			return c.post(ctx, tx, f, nil, false)
		}
	}
	return nil, notOffered(tx, "resend")
}

// Cancel abandons the sign-in. The result is [StatusCanceled]; calling it again, or after expiry, is no error.
func (c *Client) Cancel(ctx context.Context, tx *Transaction) (*Transaction, error) {
	if tx.valid() && tx.doc.canceled {
		return tx, nil
	}
	opened, err := c.open(ctx, tx)
	if errors.Is(err, ErrExpired) {
		return canceled(tx), nil
	} else if err != nil {
		return nil, err
	}
	tx = opened
	f := tx.doc.doc.cancelForm()
	if f == nil { // nothing is left to abandon: the document is an end, or the engine had none to give
		return canceled(tx), nil
	}
	if _, err := c.post(ctx, tx, f, nil, false); err != nil {
		var no *RejectedError
		if !errors.As(err, &no) || no.Is(ErrRateLimited) {
			return nil, err
		}
	}
	return canceled(tx), nil
}

// cancelForm is also there on success, when no other step is.
func (d *document) cancelForm() *form {
	if d == nil {
		return nil
	}
	return d.find("cancel")
}

// canceled forgets what could still be spent.
func canceled(tx *Transaction) *Transaction {
	return tx.with(func(s *snapshot) { s.canceled, s.code, s.carried, s.unused = true, "", nil, nil })
}

// post sends one form.
func (c *Client) post(ctx context.Context, tx *Transaction, f *form, v Values, read bool) (*Transaction, error) {
	fail := func(path, why string, cause error) error {
		return &InputError{Transaction: tx, Step: f.name, Path: path, Reason: why, cause: cause}
	}
	if f.redirect {
		return nil, fail("", "it is a redirect: send the browser there", nil)
	}
	to, err := c.core.trusts(f.href)
	if err != nil {
		return nil, fail("", err.Error(), ErrUntrustedURL)
	}
	body, bad := f.body(v)
	if bad != nil {
		return nil, fail(bad.path, bad.reason, bad.cause)
	}
	r := request{
		op: f.name, method: http.MethodPost, url: to, body: body, read: read,
		header:  http.Header{"Content-Type": {contentType(f.accepts)}, "Accept": {ionJSON}},
		secrets: append(tx.secrets(), leafStrings(v)...),
	}
	a, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.answered(r, tx, a)
}

// contentType is what the form accepts, if that is JSON at all: recordings hold a pattern here and there.
func contentType(accepts string) string {
	kind, _, err := mime.ParseMediaType(accepts)
	if err == nil && (kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")) {
		return accepts
	}
	return "application/json"
}

// answered reads the answer to a step or an introspection of tx.
func (c *Client) answered(r request, tx *Transaction, a *answer) (*Transaction, error) {
	d, err := parse(a.body)
	if err != nil || a.status >= 300 && a.status < 400 {
		return nil, c.failure(r, a)
	}
	if v, ok := d.root["version"]; ok && v != "1.0.0" {
		return nil, &ServerError{Op: r.op, Code: "unsupported_version", Status: a.status, RequestID: requestID(a.header),
			Summary: "the document has another version than 1.0.0"}
	}
	messages := d.allMessages()
	if a.status >= 500 { // the engine is out of order, and the person stands where they stood
		e := c.failure(r, a)
		if len(messages) > 0 {
			e.Code, e.Summary = scrub(messages[0].Key, r.secrets), scrub(messages[0].Text, r.secrets)
		}
		return nil, e
	}
	next := tx.next(d)
	if a.status == http.StatusTooManyRequests && next.Status() == StatusTerminal && !tx.doc.canceled {
		next = tx.limited(d)
	}
	if !slices.ContainsFunc(messages, func(m Message) bool { return refusal(m) || m.Class == "" && a.status >= 400 }) {
		if a.status >= 400 && next.Status() == StatusTerminal {
			return nil, c.failure(r, a)
		}
		return next, nil
	}
	return nil, &RejectedError{Transaction: next, Step: r.op, Messages: messages, Status: a.status,
		RetryAfter: c.retryAfter(a.header), text: describe(messages, r.secrets)}
}

// limited is t after an answer that only says "too often". The engine stays in the step, whose forms the answer leaves
// out; without them the person could not even ask for another code. The document is the last one with the new messages.
func (t *Transaction) limited(d *document) *Transaction {
	if t.doc.doc == nil {
		return t.with(func(s *snapshot) { s.carried, s.unused = d.messages, nil })
	}
	root := obj(unsaid(t.doc.doc.root))
	root["messages"] = d.root["messages"]
	raw, err := json.Marshal(root)
	if err != nil {
		return t
	}
	kept, err := parse(raw)
	if err != nil {
		return t
	}
	return t.next(kept)
}

// unsaid copies v without the messages in it.
func unsaid(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			if k != "messages" {
				out[k] = unsaid(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = unsaid(e)
		}
		return out
	}
	return v
}
