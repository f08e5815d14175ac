package idx

import (
	"context"
	"errors"
	"iter"
	"net/url"
)

// A Client speaks to one authorization server as one relying party. It is immutable, knows nothing about any
// person, and is safe for concurrent use: make one and keep it.
type Client struct {
	core *core
	user EndUser
}

type core struct{}

var errUnfinished = errors.New("idx: not written yet")

// New validates and returns; it does no I/O. Discovery happens once, on first need. It refuses an HTTP client that
// has a cookie jar, because a jar would mix one person's session into another's.
func New(cfg Config, opts ...ClientOption) (*Client, error) { return nil, errUnfinished }

// For returns a copy of the client that speaks for u: every request carries u's address, agent, language and
// device token. The copy shares everything else and costs nothing.
func (c *Client) For(u EndUser) *Client { return &Client{core: c.core, user: u} }

// A StartParam is one more parameter of the interact request: activation_token, recovery_token, max_age, acr_values,
// login_hint and whatever else the engine understands. What the client itself sends cannot be replaced, save state and nonce.
type StartParam struct{ Name, Value string }

// Start begins a sign-in and reads its first step.
func (c *Client) Start(ctx context.Context, p ...StartParam) (*Transaction, error) {
	return nil, errUnfinished
}

// Authenticate starts a sign-in and goes as far as the answers reach.
func (c *Client) Authenticate(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	return nil, errUnfinished
}

// Register starts a registration and goes as far as the answers reach. It is [ErrNotOffered] where the policy has no
// registration.
func (c *Client) Register(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	return nil, errUnfinished
}

// RecoverPassword starts a password recovery and goes as far as the answers reach. It is [ErrNotOffered] where
// recovery is not on offer, and never turns into a sign-in instead.
func (c *Client) RecoverPassword(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	return nil, errUnfinished
}

// UnlockAccount starts the unlocking of an account and goes as far as the answers reach. It ends [StatusTerminal],
// with a message that says how it went.
func (c *Client) UnlockAccount(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	return nil, errUnfinished
}

// Continue is the easy path: friendly names, and as many steps as the answers cover. Every step it submits serves an
// answer not used yet, at most two steps per answer. If none fits it returns an [InputError] and sends nothing;
// what is left over is in [Transaction.Unused].
func (c *Client) Continue(ctx context.Context, tx *Transaction, a Answers) (*Transaction, error) {
	return nil, errUnfinished
}

// Proceed is the exact path: one step by its wire name, one request, whether or not this package has heard of it.
func (c *Client) Proceed(ctx context.Context, tx *Transaction, step string, v Values) (*Transaction, error) {
	return nil, errUnfinished
}

// Skip passes over the current step, if the engine allows it ([NextStep.CanSkip]); else it is [ErrNotOffered].
func (c *Client) Skip(ctx context.Context, tx *Transaction) (*Transaction, error) {
	return nil, errUnfinished
}

// Resend asks for another code or message, if the engine allows it ([NextStep.CanResend]); else it is [ErrNotOffered].
func (c *Client) Resend(ctx context.Context, tx *Transaction) (*Transaction, error) {
	return nil, errUnfinished
}

// Cancel abandons the sign-in. The result is [StatusCanceled]; calling it again, or after expiry, is no error.
func (c *Client) Cancel(ctx context.Context, tx *Transaction) (*Transaction, error) {
	return nil, errUnfinished
}

// Resume reads the current step again and changes nothing.
func (c *Client) Resume(ctx context.Context, tx *Transaction) (*Transaction, error) {
	return nil, errUnfinished
}

// Poll asks once whether an out-of-band proof has arrived.
func (c *Client) Poll(ctx context.Context, tx *Transaction) (*Transaction, error) {
	return nil, errUnfinished
}

// Wait polls at the engine's own pace until something changes, ctx ends or the transaction expires ([ErrExpired]).
func (c *Client) Wait(ctx context.Context, tx *Transaction) (*Transaction, error) {
	return nil, errUnfinished
}

// Watch yields each change, as [Client.Wait] finds it, until there is nothing more to poll or an error came.
func (c *Client) Watch(ctx context.Context, tx *Transaction) iter.Seq2[*Transaction, error] {
	return func(func(*Transaction, error) bool) {}
}

// Callback goes on with tx when the browser returns to the redirect URI from an identity provider or a magic link; q is
// the query it came with.
func (c *Client) Callback(ctx context.Context, tx *Transaction, q url.Values) (*Transaction, error) {
	return nil, errUnfinished
}

// Exchange spends the interaction code of a successful transaction. The ID token is verified before anything is returned.
func (c *Client) Exchange(ctx context.Context, tx *Transaction) (*Tokens, error) {
	return nil, errUnfinished
}

// Refresh trades a refresh token for new tokens.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (*Tokens, error) {
	return nil, errUnfinished
}

// UserInfo reads the profile that the access token of t opens. If t.Subject is known the answer must be about that
// subject (OpenID Connect Core 5.3.2); to ask with a bare access token, pass &Tokens{AccessToken: token}.
func (c *Client) UserInfo(ctx context.Context, t *Tokens) (*UserInfo, error) {
	return nil, errUnfinished
}

// Revoke makes an access or refresh token worthless (RFC 7009).
func (c *Client) Revoke(ctx context.Context, token string) error { return errUnfinished }

// LogoutURL is where to send the browser to end the session at the authorization server. returnTo and state may be empty.
func (c *Client) LogoutURL(ctx context.Context, idToken, returnTo, state string) (string, error) {
	return "", errUnfinished
}
