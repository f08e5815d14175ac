package audit

import (
	"maps"
	"slices"
)

// Types are all types of events, by name.
func Types() []Type { return slices.Sorted(maps.Keys(Meanings)) }

// Meanings says of each type what happened. An event that no reader can look up is of little use, so a test holds
// this against the constants.
var Meanings = map[Type]string{
	FlowBegun:       "a sign-in was begun",
	FlowCancelled:   "a sign-in was given up",
	IdentifyOK:      "somebody said who they are",
	PasswordOK:      "a password was right",
	PasswordWrong:   "a password was wrong, or nobody has that name",
	CodeSent:        "a one-time code was made, to be sent",
	CodeNotSent:     "no code was sent: a limit, a country or a kind of number",
	CodeOK:          "a one-time code was right",
	CodeWrong:       "a one-time code was wrong or too late",
	CodeExhausted:   "a code was answered that has no tries left, or while its factor is suspended",
	FactorSuspended: "after too many wrong codes a factor rests",
	FactorEnrolled:  "a factor was set up",
	FactorRemoved:   "somebody removed an authenticator of theirs, or set up another in its place",
	StepSkipped:     "a step that may be skipped was",
	SignedIn:        "a sign-in is complete",

	DeviceAllowed:   "somebody let a device in that has no browser",
	DeviceDenied:    "somebody kept such a device out",
	TokensIssued:    "tokens were issued for a code, or to an application for itself",
	TokensRefreshed: "tokens were issued for a refresh token",
	TokensExchanged: "a service exchanged an access token for a narrower one",
	TokenRefused:    "tokens were refused, or a client failed to authenticate",
	TokenRevoked:    "a token was revoked by its client",
	CodeReplayed:    "a code was used twice; what it gave is revoked",
	RefreshReused:   "a refresh token was used twice; its family is revoked",
	LoggedOut:       "somebody logged out",
	PasswordChanged: "somebody changed their password",
	SessionBegun:    "a browser session began",
	SessionRaised:   "more was shown in a browser session, which has another value from then on",
	SessionResumed:  "a sign-in began with what was shown in the browser's session",
	SessionEnded:    "a browser session was ended",
	LogoutTold:      "an application was told over the back channel that a session ended",
	LogoutNotTold:   "an application could not be told over the back channel that a session ended",

	MessageSent:        "a gateway took a message",
	MessageRefused:     "gateways say that this number gets nothing",
	MessageFailed:      "no gateway took a message in time",
	MessageDelivered:   "a carrier reports that a message arrived",
	MessageUndelivered: "a carrier reports that a message did not arrive",
	MessagesPaused:     "texts to somewhere are paused: too many of them lead to nothing",
	BudgetNear:         "most of a budget for messages is spent",

	LimitHit:      "a limit was reached; the reason says which",
	AccountLocked: "after too many wrong passwords an account is locked",
	SourceRefused: "after too many wrong passwords an address is refused for an account",

	UserCreated:   "an operator added a user",
	UserChanged:   "an operator changed what is known of a user",
	UserDisabled:  "an operator keeps a user out",
	UserEnabled:   "an operator lets a user in again",
	UserDeleted:   "an operator removed a user",
	UserUnlocked:  "an operator had a user's wrong passwords and codes forgotten",
	PasswordSet:   "an operator set a user's password",
	FactorReset:   "an operator had a user's factor forgotten",
	UsersImported: "users were imported",
	UsersExported: "users were exported",

	GroupCreated:  "an operator added a group",
	GroupChanged:  "an operator changed a group",
	GroupDeleted:  "an operator removed a group",
	MemberAdded:   "an operator put a user into a group",
	MemberRemoved: "an operator took a user out of a group",

	AppCreated:         "an operator added an application, or it registered itself",
	AppChanged:         "an operator changed an application, or it did itself",
	AppDeleted:         "an operator removed an application, or it did itself",
	RegistrationOpened: "an operator made a token with which applications register themselves",
	AppSecretRotated:   "an operator gave an application a new secret",
	ServerCreated:      "an operator added an authorization server",
	ServerChanged:      "an operator changed an authorization server",
	ServerDeleted:      "an operator removed an authorization server",
	AuthenticatorSet:   "an operator added or changed an authenticator",
	AuthenticatorGone:  "an operator removed an authenticator",

	SigningKeyCreated: "a signing key was made",
	SigningKeyRetired: "a signing key's turn ends",
	KeysReplaced:      "signing keys were replaced in an emergency",
	MasterKeyChanged:  "another master key seals from now on",
	BackupMade:        "a backup was made",
	BackupRestored:    "a backup was restored",
	SchemaMigrated:    "an operator brought the schema up to date",
	LogExported:       "the audit log was exported",
	LogTrimmed:        "events older than the retention were removed",
}
