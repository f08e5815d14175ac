package oauth

// A Code is what a client's program reads in an error (RFC 6749 4.1.2.1 and 5.2, RFC 6750 3.1, OpenID Connect Core 3.1.2.6).
type Code string

// The codes that we use.
const (
	InvalidRequest           Code = "invalid_request"
	InvalidClient            Code = "invalid_client"
	InvalidGrant             Code = "invalid_grant"
	InvalidScope             Code = "invalid_scope"
	InvalidToken             Code = "invalid_token"
	InsufficientScope        Code = "insufficient_scope"
	UnauthorizedClient       Code = "unauthorized_client"
	UnsupportedGrantType     Code = "unsupported_grant_type"
	UnsupportedResponseType  Code = "unsupported_response_type"
	RequestNotSupported      Code = "request_not_supported"
	InvalidDPoPProof         Code = "invalid_dpop_proof"
	InvalidRequestURI        Code = "invalid_request_uri"
	RequestURINotSupported   Code = "request_uri_not_supported"
	RegistrationNotSupported Code = "registration_not_supported"
	LoginRequired            Code = "login_required"
	InteractionRequired      Code = "interaction_required"
	AccessDenied             Code = "access_denied"
	InvalidClientMetadata    Code = "invalid_client_metadata" // RFC 7591 3.2.2, like the next
	InvalidRedirectURI       Code = "invalid_redirect_uri"
	InvalidTarget            Code = "invalid_target"        // RFC 8693 2.2.2
	AuthorizationPending     Code = "authorization_pending" // RFC 8628 3.5, like the next two
	SlowDown                 Code = "slow_down"
	ExpiredToken             Code = "expired_token"
	ServerError              Code = "server_error"
	TemporarilyUnavailable   Code = "temporarily_unavailable"
)

// An Error is a refusal in the words of OAuth. Its description is for the client's developer and always
// there: okta-auth-js takes a document for an OAuth error only if it has both.
type Error struct {
	Code        Code
	Description string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Description }

// The refusals that clients compare word for word, or that must not say which of several reasons applied.
var (
	ErrCode       = &Error{InvalidGrant, "The interaction code is invalid or has expired."}
	ErrAuthCode   = &Error{InvalidGrant, "The authorization code is invalid or has expired."}
	ErrPKCE       = &Error{InvalidGrant, "PKCE verification failed."}
	ErrRefresh    = &Error{InvalidGrant, "The refresh token is invalid or expired."} // okta-auth-js drops its token on exactly this
	ErrActivation = &Error{InvalidRequest, "The activation token is invalid"}
	ErrRecovery   = &Error{InvalidRequest, "The recovery token is invalid"}
)
