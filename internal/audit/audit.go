// Package audit owns the security events: what happened, to whom, with what outcome (S-71).
//
// An [Event] is written in the transaction of the thing it describes. It never carries a password, a
// code, a handle, a token or a full phone number (S-72): the constructor of each caller decides what
// goes in, and a test greps all output for markers.
package audit

import "time"

// Type names what happened, in the words a SIEM can filter by.
type Type string

// The events of a sign-in and of its tokens.
const (
	FlowBegun         Type = "flow.begun"
	FlowCancelled     Type = "flow.cancelled"
	IdentifyOK        Type = "signin.identified"
	PasswordOK        Type = "signin.password.ok"
	PasswordWrong     Type = "signin.password.wrong"
	CodeSent          Type = "signin.code.sent"
	CodeNotSent       Type = "signin.code.refused"
	CodeOK            Type = "signin.code.ok"
	CodeWrong         Type = "signin.code.wrong"
	CodeExhausted     Type = "signin.code.exhausted"
	FactorSuspended   Type = "factor.suspended"
	FactorEnrolled    Type = "factor.enrolled"
	FactorRemoved     Type = "factor.removed"
	StepSkipped       Type = "signin.skipped"
	SignedIn          Type = "signin.success"
	DeviceAllowed     Type = "device.allowed"
	DeviceDenied      Type = "device.denied"
	TokensIssued      Type = "token.issued"
	TokensRefreshed   Type = "token.refreshed"
	TokensExchanged   Type = "token.exchanged"
	TokenRefused      Type = "token.refused"
	TokenRevoked      Type = "token.revoked"
	CodeReplayed      Type = "token.code.replayed"
	RefreshReused     Type = "token.refresh.reused"
	MessageSent       Type = "message.sent"
	MessageRefused    Type = "message.refused"
	MessageFailed     Type = "message.failed"
	SigningKeyCreated Type = "key.created"
	LoggedOut         Type = "session.logout"
	PasswordChanged   Type = "password.changed"
	SessionBegun      Type = "session.begun"
	SessionRaised     Type = "session.raised"
	SessionResumed    Type = "session.resumed"
	SessionEnded      Type = "session.ended"
	LogoutTold        Type = "session.logout.told"
	LogoutNotTold     Type = "session.logout.failed"
)

// Source is where a request came from.
type Source struct {
	Address   string // the client's address as the server believes it
	Agent     string // user agent, cut to 200 letters
	Device    string // keyed hash of the device token, if any
	RequestID string
	Language  string // Accept-Language, for texts; not recorded
}

// An Event is one line of the audit log.
type Event struct {
	Type    Type
	At      time.Time
	OK      bool
	Actor   string // the operator who did it; empty if the person did
	User    string // user id; empty if unknown
	Login   string // keyed hash of a name that nobody holds (people type passwords there)
	Client  string
	Flow    string // first bytes of the flow's digest, to follow one sign-in
	Reason  string
	Target  string // masked phone, authenticator, key id
	Finger  string // keyed hash of the phone number, for search
	Source  Source
	GrantID string
}
