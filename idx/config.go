package idx

import (
	"crypto"
	"log/slog"
	"net/http"
	"time"
)

// Config names the relying party. [New] copies it. Nothing is read from files or the environment.
type Config struct {
	Issuer      string     // the authorization server, https://id.example/oauth2/default; https unless it is this machine
	ClientID    string     // as registered with the authorization server
	RedirectURI string     // where the browser returns from an identity provider or a magic link
	Scopes      []string   // nil means openid and profile
	Auth        ClientAuth // nil is a public client: PKCE and no secret
}

// ClientAuth is how a confidential client proves itself: [SecretBasic], [SecretPost] or [PrivateKeyJWT].
// It prints nothing of what it holds.
type ClientAuth interface{ clientAuth() }

// SecretBasic sends the client secret in the Authorization header (RFC 6749 2.3.1).
func SecretBasic(secret string) ClientAuth { return nil }

// SecretPost sends the client secret in the request body (RFC 6749 2.3.1).
func SecretPost(secret string) ClientAuth { return nil }

// PrivateKeyJWT signs a short-lived assertion for each request (RFC 7523). The key is RSA (RS256) or P-256 (ES256).
func PrivateKeyJWT(key crypto.Signer, keyID string) ClientAuth { return nil }

// A ClientOption changes how a [Client] works, not whom it speaks for.
type ClientOption func(*settings) error

type settings struct{}

// WithHTTPClient sends everything through h; tracing, proxies, metrics and in-process handlers wrap its transport.
// The client is copied. It must have no cookie jar, and its redirect policy is not used: redirects are never followed.
func WithHTTPClient(h *http.Client) ClientOption { return nil }

// WithLogger logs operations and outcomes to l, never values.
func WithLogger(l *slog.Logger) ClientOption { return nil }

// WithRetry sets how often a read or a poll is tried in all, and the longest pause between two tries. One attempt
// means no retries; the default is three attempts and five seconds. Steps are never retried.
func WithRetry(attempts int, ceiling time.Duration) ClientOption { return nil }

// WithClock judges token times and expiry by now instead of [time.Now].
func WithClock(now func() time.Time) ClientOption { return nil }

// WithTrustedOrigins names origins (https://host[:port]) besides the issuer's that a step may be posted to.
func WithTrustedOrigins(origins ...string) ClientOption { return nil }

// WithInsecureHTTP accepts an http issuer that is not on this machine. Passwords and codes then travel in the clear:
// it is meant for a test network and nothing else.
func WithInsecureHTTP() ClientOption { return nil }

// WithDPoP binds tokens to key (RFC 9449). The key is RSA (RS256) or P-256 (ES256).
func WithDPoP(key crypto.Signer) ClientOption { return nil }
