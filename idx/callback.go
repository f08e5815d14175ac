package idx

import (
	"context"
	"fmt"
	"net/url"
)

// Callback goes on with tx when the browser returns to the redirect URI from an identity provider or a magic link; q is
// the query it came with. A magic link that was opened in another browser finds no transaction there, or another
// one: that is [ErrOtherBrowser], and the code in q["otp"] can be shown for typing in where the sign-in began.
func (c *Client) Callback(ctx context.Context, tx *Transaction, q url.Values) (*Transaction, error) {
	for name, values := range q {
		switch name {
		case "state", "interaction_code", "error", "otp", "iss":
			if len(values) > 1 { // one reader would take the first, another the last
				return nil, fmt.Errorf("%w: %s is given twice", ErrStateMismatch, name)
			}
		}
	}
	otp := q.Get("otp")
	if !tx.valid() {
		if otp != "" {
			return nil, ErrOtherBrowser
		}
		return nil, ErrNoTransaction
	}
	if tx.doc.client != c.core.fingerprint || tx.doc.canceled {
		_, err := c.open(ctx, tx)
		return nil, err
	}
	if q.Get("state") != tx.doc.state {
		if otp != "" {
			return nil, fmt.Errorf("%w: %w", ErrOtherBrowser, ErrStateMismatch)
		}
		return nil, ErrStateMismatch
	}
	if q.Has("iss") && q.Get("iss") != c.core.issuer { // RFC 9207 2.4
		return nil, fmt.Errorf("%w: it comes from another issuer", ErrStateMismatch)
	}
	switch code, refused := q.Get("interaction_code"), q.Get("error"); {
	case refused == "interaction_required":
		if tx, err := c.open(ctx, tx); err != nil || tx.Status() == StatusSuccess {
			return tx, err
		}
		return c.introspect(ctx, tx)
	case refused != "":
		return nil, &ServerError{Op: "callback", Code: clip(refused), Summary: scrub(q.Get("error_description"), tx.secrets())}
	case code != "":
		return tx.with(func(s *snapshot) { s.code, s.unused, s.carried = code, nil, nil }), nil
	case otp != "":
		return c.Continue(ctx, tx, Answers{VerificationCode: otp})
	}
	return nil, &InputError{Transaction: tx, Step: "callback", Reason: "the query holds neither a code nor an error"}
}
