// Package store is the contract between the rooms that run things and the databases.
//
// [DB] opens transactions; a [Tx] is cut by use into small interfaces, so that a room names only what
// it needs. There are three errors. The contract's meaning is in storetest, which every database
// passes without waivers; its SQL is in sqlstore, written once.
package store

import (
	"context"
	"errors"
	"io"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
)

// The errors. All else is the database being ill; [ErrUnavailable] marks what may pass by itself.
var (
	ErrNotFound    = errors.New("store: not found")
	ErrStale       = errors.New("store: changed meanwhile") // lost a race: read again, or give up
	ErrSpent       = errors.New("store: used up")           // a limited thing that has no use left
	ErrExists      = errors.New("store: exists already")
	ErrUnavailable = errors.New("store: database unavailable") // away, full, read-only, locked: 503 and Retry-After
)

// DB is a database. Times are kept to the microsecond and come back in UTC.
type DB interface {
	// View runs f over one consistent snapshot. f must not write, nor begin another transaction.
	View(ctx context.Context, f func(Tx) error) error
	// ViewOnce is View for an f that reads once. A single statement sees one snapshot by itself, and where that saves
	// anything no transaction is made around it. A second read is refused.
	ViewOnce(ctx context.Context, f func(Tx) error) error
	// Update runs f in a transaction and commits it durably before it returns nil (S-75). It is the only
	// way to write. f may run more than once, so it touches only tx and plain values that it sets anew each
	// time; after any error from tx it returns that error. Hash, verify and send before it or after it, never in
	// it; and begin no other transaction in it, for where writers take turns that would wait for itself.
	Update(ctx context.Context, f func(Tx) error) error
	// Now is the database's clock, to compare with ours.
	Now(ctx context.Context) (time.Time, error)
	Close() error
}

// Tx is everything that can be read and written in one transaction. After an error that is none of the
// above it does nothing more, and Update does not commit even if f returns nil. Adding what is there is
// ErrExists, reading or changing what is not there is ErrNotFound, unless a method says otherwise.
type Tx interface {
	Flows
	Challenges
	Failures
	Guesses
	Counts
	Sends
	Messages
	Ledger
	People
	Groups
	Organisation
	Codes
	Proofs
	Devices
	Registrations
	Grants
	Sessions
	SigningKeys
	Certificates
	Audit
}

// Flows keeps unfinished sign-ins, and finished ones until they expire.
type Flows interface {
	// AddFlow saves a new flow.
	AddFlow(ctx context.Context, s flow.State, expires time.Time) error
	// Flow returns ErrNotFound for a handle nobody holds. Expired flows are returned until they are
	// swept: the caller judges by its own clock.
	Flow(ctx context.Context, h flow.Handle) (flow.State, error)
	// FlowByInteraction finds a flow by the digest of its interaction handle.
	FlowByInteraction(ctx context.Context, h secret.Digest) (flow.State, error)
	// PutFlow saves s if nobody saved it since it was read (s.Version), else ErrStale. A later read has Version+1.
	// What finds a flow, its two handles, never changes.
	PutFlow(ctx context.Context, s flow.State, expires time.Time) error
}

// A Challenge is a code that is out. The code itself is derived from Nonce and not stored (S-07).
type Challenge struct {
	ID      flow.ChallengeID
	Flow    flow.Handle
	User    ident.UserID
	Kind    ident.Kind
	Method  ident.Method
	Number  secret.Text // where it went; sealed in the database
	Nonce   [16]byte
	Created time.Time
	Expires time.Time
	Tries   int
	Used    time.Time // zero: not yet
}

// Challenges keeps codes that are out.
type Challenges interface {
	AddChallenge(ctx context.Context, c Challenge) error
	Challenge(ctx context.Context, id flow.ChallengeID) (Challenge, error)
	// CountTry counts one try by one conditional statement and returns the challenge as it then is.
	// ErrSpent if max tries were counted already or the challenge is used (S-11); the challenge comes with it.
	CountTry(ctx context.Context, id flow.ChallengeID, max int) (Challenge, error)
	// SpendChallenge uses the challenge up; ErrSpent for all but the first (S-13).
	SpendChallenge(ctx context.Context, id flow.ChallengeID, at time.Time) error
}

// Failures counts wrong codes per account and kind, over all flows (S-10).
type Failures interface {
	// CountFailure counts one attempt before it is judged. While the kind is suspended the attempt is not
	// counted and must not be judged: suspended is when the next may be made, else zero. failures is the
	// count; if l.Suspension asks for a suspension at a new count it begins at once, for the attempts after
	// this one. A success then clears both.
	CountFailure(ctx context.Context, u ident.UserID, k ident.Kind, now time.Time, l limit.Codes) (failures int, suspended time.Time, err error)
	// ClearFailures is what a success does.
	ClearFailures(ctx context.Context, u ident.UserID, k ident.Kind) error
	// Suspended returns until when the kind is suspended for the user; zero if it is not.
	Suspended(ctx context.Context, u ident.UserID, k ident.Kind) (time.Time, error)
}

// A Guess is one password about to be judged, as the limits see it (S-26).
type Guess struct {
	Login  string // folded; or as typed, where that cannot be. Kept as a keyed digest alone
	Source string // limit.Source of where it came from
	Device string // a device that completed a sign-in with this login before; else empty
	At     time.Time
}

// A Ruling is what became of counting a guess.
type Ruling struct {
	Device  bool // counted against the device's own budget
	Paused  bool // with this one, the source rests for the account
	Stopped bool // with this one, the account takes passwords from known devices alone
	Source  bool // refused because of the source, whoever the account is
}

// Guesses counts wrong passwords: in a row, by account and source and by account; and by source (S-26).
type Guesses interface {
	// CountGuess counts a guess as a failure, before it is judged. ErrSpent means that it must not be judged, and
	// that nothing was counted; the ruling comes with it. On a device with budget left only the device's own
	// failures refuse, so that nobody else can keep its owner out (S-27).
	CountGuess(ctx context.Context, g Guess, l limit.Passwords) (Ruling, error)
	// CountRefusal counts for its source a guess that was refused: it answers like a failure and costs as much.
	// ErrSpent if the source has none left.
	CountRefusal(ctx context.Context, g Guess, l limit.Passwords) error
	// ClearGuess is what a right password does: the row of failures ends where it was counted, and for the
	// account; for the source this one is taken back. Device is empty if the guess was not counted there.
	ClearGuess(ctx context.Context, g Guess, l limit.Passwords) error
	// ForgetGuesses is what a recovery and an administrator do: the login has never failed anywhere.
	ForgetGuesses(ctx context.Context, login string) error
	// SourceSpent reports whether the source has failed too often, whoever it was about. It counts nothing.
	SourceSpent(ctx context.Context, g Guess, l limit.Passwords) (bool, error)
	// KnowsDevice reports whether a sign-in with this login was completed on the device.
	KnowsDevice(ctx context.Context, login string, device secret.Digest) (bool, error)
	// RememberDevice is what completing one does.
	RememberDevice(ctx context.Context, login string, device secret.Digest, at time.Time) error
}

// Requests are some that a node wants to let pass (S-52).
type Requests struct {
	What   secret.Digest // what they have in common
	Window int64         // which window of its length it is
	Length time.Duration
	Want   int
	Max    int // in the window, over all nodes
	Ends   time.Time
}

// Counts counts requests over nodes.
type Counts interface {
	// TakeRequests takes as many as there are left, up to what is wanted, by one conditional statement.
	TakeRequests(ctx context.Context, r Requests) (given int, err error)
}

// A Send is one text message as the limits see it.
type Send struct {
	ID      string
	Number  secret.Digest // keyed digest of the number
	Block   secret.Digest // keyed digest of the number without its last four digits
	Address secret.Digest // keyed digest of the client's address; zero if nobody asked over a network
	User    ident.UserID
	Country string // region of the number: DE
	At      time.Time
	Proved  bool   // the number was an enrolled one when it was sent
	Cost    int64  // what was taken from the budgets for it, in millionths
	Gateway string // that took it; empty until then, and again after a success
}

// Sends remembers messages, for the limits of S-14 and S-32 to S-34.
type Sends interface {
	// HoldSends makes transactions about one number, block, address or user take turns until they end, so
	// that counting and adding cannot race. Call it before the reads.
	HoldSends(ctx context.Context, s Send) error
	// LastSend is when the number last got a message, and by which gateway; zero if never.
	LastSend(ctx context.Context, number secret.Digest) (Send, error)
	// CountSends counts what was sent since, by the first of number, block, address and user that is given.
	CountSends(ctx context.Context, q SendQuery) (int, error)
	AddSend(ctx context.Context, s Send) error
	// ClearSends is what a success does for the number: it stops counting for queries with Open.
	ClearSends(ctx context.Context, number secret.Digest) error
	// DropSend gives the allowance back when a gateway did not take the message, and what it took from the
	// budgets (S-36).
	DropSend(ctx context.Context, id string) error
	// SentBy notes the gateway that took the message.
	SentBy(ctx context.Context, id, gateway string) error
	// Conversion looks at the last messages to numbers that were not proved: how many there are, up to
	// q.Last, and how many of them were followed by a success (S-34).
	Conversion(ctx context.Context, q ConversionQuery) (sent, verified int, err error)
	// Pause stops a scope until then; false if it is stopped already.
	Pause(ctx context.Context, scope string, now, until time.Time) (bool, error)
	// Paused returns until when a scope was last stopped; zero if never.
	Paused(ctx context.Context, scope string) (time.Time, error)
}

// A SendQuery says which messages to count.
type SendQuery struct {
	Number   secret.Digest // or zero
	Block    secret.Digest // or zero
	Address  secret.Digest // or zero
	User     ident.UserID  // or empty
	Since    time.Time     // messages after it: one sent just then has left the window
	Open     bool          // only those that no success has cleared
	Unproved bool          // only those to numbers not enrolled then
	Numbers  bool          // count different numbers, not messages
}

// A ConversionQuery says which messages to look at. Those that are known to have been lost on the way are not
// among them, for nobody could answer, nor are those that still may be answered.
type ConversionQuery struct {
	Country string        // or empty
	Block   secret.Digest // if it is
	Since   time.Time     // only messages after it
	Settled time.Time     // what was sent after it, and not verified, may still be
	Last    int
}

// A Take is one message that asks for its part of a budget.
type Take struct {
	Scope string // region; empty is everything
	Cap   limit.Cap
	At    time.Time
	Cost  int64
}

// Starts is when the window began, and Ends when it ends.
func (t Take) Starts() time.Time { return t.At.UTC().Truncate(t.Cap.Per) }

// Ends is when the window ends.
func (t Take) Ends() time.Time { return t.Starts().Add(t.Cap.Per) }

// Ledger keeps what messages cost, and what may be spent (S-35).
type Ledger interface {
	// TakeBudget counts a message in a window by one conditional statement, or is ErrSpent. low tells that
	// the window has just come to [limit.Low]; it is told once.
	TakeBudget(ctx context.Context, t Take) (low bool, err error)
	// PutCharge adds a line, unless there is one for that message and gateway: nobody is charged twice. A
	// line that was not sure becomes so if c is.
	PutCharge(ctx context.Context, c Charge) error
	// Deliver notes what a gateway reported about a message, and returns the line; ErrNotFound if there is
	// none, ErrStale if the same was reported before, or that it was delivered.
	Deliver(ctx context.Context, message, gateway string, d Delivery, at time.Time) (Charge, error)
	// Spent sums up the lines from since to before until, by day, country, gateway and currency, in that order.
	Spent(ctx context.Context, since, until time.Time) ([]Spent, error)
}

// Delivery is what became of a message that a gateway took.
type Delivery string

// It is not known at first, and for some gateways never.
const (
	Unreported  Delivery = ""
	Delivered   Delivery = "delivered"
	Undelivered Delivery = "undelivered"
)

// A Charge is a line of the ledger: one message that one gateway took.
type Charge struct {
	Message  string
	Gateway  string
	Country  string
	At       time.Time
	Sure     bool // the gateway said that it took it; else no answer came
	Price    int64
	Currency string
	Send     string // the Send that it was counted as
	Proved   bool   // the number was an enrolled one
	Delivery Delivery
}

// Spent is a sum of the ledger.
type Spent struct {
	Day                    time.Time
	Country                string
	Gateway                string
	Currency               string
	Messages               int   // that the gateway said it took
	Price                  int64 // of them, in millionths
	Unsure                 int   // that it may have taken
	UnsurePrice            int64
	Delivered, Undelivered int
}

// MessageStatus is where a message stands.
type MessageStatus string

// A message waits, and then one of the others, for good.
const (
	Waiting MessageStatus = "waiting"
	Sent    MessageStatus = "sent"
	Refused MessageStatus = "refused" // the gateway says this number gets nothing
	Failed  MessageStatus = "failed"  // no gateway took it in time
)

// A Message is an outbox row: something to tell somebody, written in the commit that caused it.
type Message struct {
	ID       string // also the idempotency key towards gateways
	Channel  string // sms, email
	To       secret.Text
	Body     secret.Text
	Country  string // region of a number: DE
	Proved   bool   // the number was an enrolled one
	Avoid    string // the gateway to ask last: a message by it was not answered
	Send     string // the Send to drop when it fails; may be empty
	Created  time.Time
	NotAfter time.Time // not sent any more after this: the code is dead
	Attempts int
	Tried    string // what the worker wants to remember of them
	Status   MessageStatus
	Due      time.Time // next attempt; or, with a lease, when another node may take it
	Lease    string    // who has it in hand
}

// Messages is the outbox.
type Messages interface {
	// AddMessage writes a row; with a lease it is in that worker's hands at once, until Due.
	AddMessage(ctx context.Context, m Message) error
	// LeaseMessages takes up to n due waiting messages until the given time, those too that are past NotAfter:
	// somebody has to settle them.
	LeaseMessages(ctx context.Context, worker string, now, until time.Time, n int) ([]Message, error)
	// Settle gives a message its final status, if worker still holds it or nobody does; else ErrStale. It
	// forgets number and body: what was sent is not kept.
	Settle(ctx context.Context, id, worker string, s MessageStatus, at time.Time) error
	// Postpone hands a message back to be tried again at due, with one more attempt counted.
	Postpone(ctx context.Context, id, worker string, due time.Time, tried string) error
	// Message returns a message without number and body, settled or not.
	Message(ctx context.Context, id string) (Message, error)
}

// People keeps users and their enrollments.
type People interface {
	AddUser(ctx context.Context, u ident.User) error // ErrExists if the login is taken
	PutUser(ctx context.Context, u ident.User) error // ErrNotFound; ErrExists if the new login is taken
	User(ctx context.Context, id ident.UserID) (ident.User, error)
	// UserByLogin takes the folded login.
	UserByLogin(ctx context.Context, folded string) (ident.User, error)
	// Users returns up to q.N users in the database's order of their folded logins.
	Users(ctx context.Context, q UserQuery) ([]ident.User, error)
	CountUsers(ctx context.Context) (int, error)
	// AddPeople adds many users at once. Those whose id or login is taken, before or by one ahead of them, are
	// left out with all that is theirs; taken are their places in the list.
	AddPeople(ctx context.Context, all []Person) (taken []int, err error)
	// DropUser removes a user with enrollments, memberships and counters. Grants are to be revoked beside it.
	DropUser(ctx context.Context, id ident.UserID) error
	// Enrollments returns a user's enrollments, oldest first.
	Enrollments(ctx context.Context, u ident.UserID) ([]ident.Enrollment, error)
	AddEnrollment(ctx context.Context, e ident.Enrollment) error // ErrExists: the user has that kind already
	// PutEnrollment replaces the secret (a re-hashed password), and nothing else.
	PutEnrollment(ctx context.Context, e ident.Enrollment) error
	DropEnrollment(ctx context.Context, id ident.EnrollmentID) error
}

// A UserQuery says which users to return.
type UserQuery struct {
	After  string        // a folded login: those behind it
	Group  ident.GroupID // its members alone; or empty
	Status ident.Status  // those alone; or empty
	N      int
}

// A Person is a user with what belongs to them.
type Person struct {
	User        ident.User
	Enrollments []ident.Enrollment // of different kinds
	Groups      []ident.GroupID    // different ones, that exist
}

// Groups keeps groups and who is in them.
type Groups interface {
	AddGroup(ctx context.Context, g ident.Group) error // ErrExists if the name is taken
	PutGroup(ctx context.Context, g ident.Group) error // ErrNotFound; ErrExists if the new name is taken
	// GroupByName takes the folded name.
	GroupByName(ctx context.Context, folded string) (ident.Group, error)
	// Groups and GroupsOf return groups in the order of their names.
	Groups(ctx context.Context) ([]ident.Group, error)
	GroupsOf(ctx context.Context, u ident.UserID) ([]ident.Group, error)
	CountMembers(ctx context.Context, g ident.GroupID) (int, error)
	DropGroup(ctx context.Context, g ident.GroupID) error
	AddMember(ctx context.Context, g ident.GroupID, u ident.UserID) error
	DropMember(ctx context.Context, g ident.GroupID, u ident.UserID) error
}

// Organisation keeps what an operator sets up.
type Organisation interface {
	// OrgID is 00o…, made once.
	OrgID(ctx context.Context) (string, error)
	// Authenticators come in the order in which they were first put, clients oldest first, servers by id.
	PutAuthenticator(ctx context.Context, a ident.Authenticator) error
	Authenticators(ctx context.Context) ([]ident.Authenticator, error)
	// DropAuthenticator leaves what people have enrolled; nothing asks for it any more.
	DropAuthenticator(ctx context.Context, id ident.AuthenticatorID) error
	PutClient(ctx context.Context, c oauth.Client) error
	// DropClient leaves grants, which are to be revoked beside it.
	DropClient(ctx context.Context, id oauth.ClientID) error
	Client(ctx context.Context, id oauth.ClientID) (oauth.Client, error)
	Clients(ctx context.Context) ([]oauth.Client, error)
	PutServer(ctx context.Context, s oauth.Server) error
	DropServer(ctx context.Context, id string) error
	Server(ctx context.Context, id string) (oauth.Server, error)
	Servers(ctx context.Context) ([]oauth.Server, error)
	// Setting and PutSetting keep single values: the key check, the epoch.
	Setting(ctx context.Context, name string) (string, error)
	PutSetting(ctx context.Context, name, value string) error
	DropSetting(ctx context.Context, name string) error
}

// A Code is an interaction code or an authorization code, as its digest: of which purpose tells them apart.
type Code struct {
	Digest   secret.Digest
	Redirect string
	PKCE     string // the S256 challenge
	Expires  time.Time
	Grant    oauth.Grant // what redeeming it gives; the grant exists from then on
	Used     time.Time
}

// Codes keeps them.
type Codes interface {
	AddCode(ctx context.Context, c Code) error
	// SpendCode uses the code up by one conditional statement and returns it. A code used already is
	// returned with ErrSpent, so that its tokens can be revoked (S-56); ErrNotFound if nobody made it.
	SpendCode(ctx context.Context, d secret.Digest, at time.Time) (Code, error)
}

// A Pushed is an authorization request that a client sent ahead of its browser (RFC 9126), as the digest of what
// the browser brings.
type Pushed struct {
	Digest  secret.Digest
	Server  string
	Client  oauth.ClientID
	Params  map[string]string // without what the client proved itself by
	Expires time.Time
}

// Proofs keeps what is good once: the ids of what clients prove themselves by, and pushed requests.
type Proofs interface {
	// SpendProof remembers an id until then; ErrSpent for all but the first (S-58).
	SpendProof(ctx context.Context, d secret.Digest, expires time.Time) error
	AddPushed(ctx context.Context, p Pushed) error
	// SpendPushed takes a request out; ErrNotFound for all but the first, and for another client or server,
	// who do not spend it (S-59). The caller judges by its own clock whether it has expired.
	SpendPushed(ctx context.Context, d secret.Digest, server string, c oauth.ClientID) (Pushed, error)
}

// A Device is one that waits to be let in (RFC 8628).
type Device struct {
	Digest   secret.Digest // of the device code
	UserCode secret.Text   // folded. Kept as a keyed digest, and empty when it is read
	Server   string
	Client   oauth.ClientID
	Scopes   []string
	Created  time.Time
	Expires  time.Time
	Wait     time.Duration // between two polls
	Polled   time.Time     // the last time
	Hasty    bool          // and that was before its time
	Decided  time.Time     // zero: not yet
	Grant    oauth.Grant   // what redeeming it gives; without an id, nothing
	Used     time.Time
}

// Devices keeps devices that wait.
type Devices interface {
	AddDevice(ctx context.Context, d Device) error // ErrExists if one of the codes is taken
	DeviceByUserCode(ctx context.Context, folded secret.Text) (Device, error)
	// DecideDevice notes a decision by one conditional statement; a grant without an id is one against it. ErrSpent
	// for all but the first, ErrNotFound for a code that is over.
	DecideDevice(ctx context.Context, folded secret.Text, g oauth.Grant, at time.Time) error
	// PollDevice notes a poll and returns the device as it then is. One before its time makes the wait longer by more.
	PollDevice(ctx context.Context, d secret.Digest, at time.Time, more time.Duration) (Device, error)
	// SpendDevice uses up what was allowed, by one conditional statement; afterwards it is returned with ErrSpent.
	// ErrNotFound if nothing was allowed.
	SpendDevice(ctx context.Context, d secret.Digest, at time.Time) (Device, error)
}

// A Registration lets applications register themselves (RFC 7591), so many times.
type Registration struct {
	Digest  secret.Digest
	Created time.Time
	Expires time.Time
	Uses    int // that are left
}

// Registrations keeps them.
type Registrations interface {
	AddRegistration(ctx context.Context, r Registration) error
	// SpendRegistration uses it once, by one conditional statement; ErrNotFound if there is none, or none any more.
	SpendRegistration(ctx context.Context, d secret.Digest, at time.Time) error
}

// A Refresh is a refresh token, as its digest.
type Refresh struct {
	Digest  secret.Digest
	Grant   oauth.GrantID
	Created time.Time
	Expires time.Time
	Used    time.Time
}

// Grants keeps what was granted and the refresh tokens of it.
type Grants interface {
	AddGrant(ctx context.Context, g oauth.Grant) error
	Grant(ctx context.Context, id oauth.GrantID) (oauth.Grant, error)
	// RevokeGrant ends a family. A grant that is not there yet (a code may be replayed while it is being
	// redeemed) is revoked from its beginning.
	RevokeGrant(ctx context.Context, id oauth.GrantID) error
	// RevokeGrantsOf ends all grants that a user gave, or a client has (the other one empty), and the codes and
	// devices that would give one; n counts the grants that lived.
	RevokeGrantsOf(ctx context.Context, u ident.UserID, c oauth.ClientID) (n int, err error)
	AddRefresh(ctx context.Context, r Refresh) error
	Refresh(ctx context.Context, d secret.Digest) (Refresh, error)
	// SpendRefresh uses a refresh token up; a used one is returned with ErrSpent (S-60).
	SpendRefresh(ctx context.Context, d secret.Digest, at time.Time) (Refresh, error)
	// RevokeToken refuses one access token until it expires by itself.
	RevokeToken(ctx context.Context, jti string, expires time.Time) error
	// TokenHolder answers userinfo and introspection in one read: the user, unless the token or its grant is
	// revoked or the grant is gone or another user's (ErrSpent), or the user is (ErrNotFound). Without a user, for a token that a
	// client has by itself, it is the same of token and grant, and nobody is returned.
	TokenHolder(ctx context.Context, u ident.UserID, g oauth.GrantID, jti string) (ident.User, error)
	// TokenHolderAndPhone tells beside it the number that the user has proved to hold, empty if there is none, in the
	// same read.
	TokenHolderAndPhone(ctx context.Context, u ident.UserID, g oauth.GrantID, jti string) (ident.User, secret.Text, error)
}

// A SigningKey is a key pair as it is stored, its private part sealed in the database.
type SigningKey struct {
	ID      string // kid
	Alg     string // RS256
	Private []byte // PKCS #8
	Created time.Time
	From    time.Time // signs from then on
	Retired time.Time // zero: not yet
}

// SigningKeys keeps them.
type SigningKeys interface {
	SigningKeys(ctx context.Context) ([]SigningKey, error) // oldest first
	// AddSigningKey is ErrExists if the id is taken.
	AddSigningKey(ctx context.Context, k SigningKey) error
	PutSigningKey(ctx context.Context, k SigningKey) error
}

// Certificates keeps what an ACME authority gave: accounts, certificates with their keys, answers to challenges.
// All of it is sealed.
type Certificates interface {
	Certificate(ctx context.Context, name string) ([]byte, error)
	PutCertificate(ctx context.Context, name string, data []byte) error // over what is there
	DropCertificate(ctx context.Context, name string) error             // nothing to drop is no error
}

// Audit is the log of what happened.
type Audit interface {
	// Record appends events, in order.
	Record(ctx context.Context, events ...audit.Event) error
	// Events returns up to n events after the given position, and the position after them.
	Events(ctx context.Context, after int64, n int) (events []audit.Event, next int64, err error)
	// Search returns up to n events that q asks for with their places, oldest first.
	Search(ctx context.Context, q AuditQuery, n int) ([]audit.Entry, error)
	// AddSeal keeps a seal; one of the same place is kept as it was.
	AddSeal(ctx context.Context, s audit.Seal) error
	// Seal returns the last seal at or before a place, zero if there is none.
	Seal(ctx context.Context, seq int64) (audit.Seal, error)
	// SealBefore returns the last seal made before a time, zero if there is none.
	SealBefore(ctx context.Context, at time.Time) (audit.Seal, error)
	// TrimAudit removes up to n of the oldest events, none of them after seq, which is a seal's place: else the
	// chain could not be walked from there, and it is ErrNotFound (S-73). The last event of all must stay.
	TrimAudit(ctx context.Context, seq int64, n int) (removed int, err error)
	// Trimmed returns the seal up to which events were removed, or are being removed; zero if none were.
	Trimmed(ctx context.Context) (audit.Seal, error)
	// Backlogs counts what waits for somebody to do something about it.
	Backlogs(ctx context.Context) (Backlogs, error)
}

// An AuditQuery says which events to find; what is empty does not matter.
type AuditQuery struct {
	After  int64      // only places after this one
	Type   audit.Type // one type, or with a dot at the end all that begin so
	User   string
	Client string
	Source string    // the address
	Since  time.Time // that one too
	Until  time.Time // not that one
	Last   bool      // the newest n instead of the oldest
}

// Backlogs are the queues that are in the database.
type Backlogs struct {
	Messages int       // waiting to be sent
	Oldest   time.Time // when the oldest of them was written; zero without any
	Unsealed int       // audit events that no seal covers yet
}

// Sweeper removes what has expired, in small batches (S-86). A DB offers it. Sent messages count towards
// limits for 8 days, so no window may be longer; messages that nobody settled stay a day past their time.
// The audit log is not swept: its retention is a matter of its own (S-73).
type Sweeper interface {
	// Sweep removes up to n rows of each kind that ended before the given time, and reports whether there may be more.
	Sweep(ctx context.Context, before time.Time, n int) (more bool, err error)
}

// Resetter empties a database back to nothing but its schema. Only the dev door uses it.
type Resetter interface {
	Reset(ctx context.Context) error
}

// A MasterKey is a master key as a database knows it.
type MasterKey struct {
	ID     secret.KeyID
	Seals  bool // new values are sealed with it
	Held   bool // this process has it
	Values int  // how many values it has sealed
}

// A Node is a server that was seen on the database within the last minute.
type Node struct {
	ID    string
	Seen  time.Time // by the database's clock
	Seals secret.KeyID
	Holds []secret.KeyID
}

// A Resealing is how far sealing everything anew has come. The zero one begins.
type Resealing struct {
	Column int    // the database's affair
	After  string // likewise
	Done   int
	Broken []string // values that no key opens, by column and row
	Over   bool
}

// MasterKeys moves a database from one master key to another while servers run on it. A DB offers it. One key
// seals; a process that lacks a key that may have sealed something is refused when it opens the database.
type MasterKeys interface {
	// MasterKeys returns the keys that may have sealed something, and then those that this process holds beside them.
	MasterKeys(ctx context.Context) ([]MasterKey, error)
	// SealWith makes a key of the ring the one that seals: here at once, on other nodes when they follow. It is
	// ErrStale, and says who, if a node does not hold the key.
	SealWith(ctx context.Context, id secret.KeyID) error
	// Follow makes this process seal with the key that SealWith chose, and tells others that it is there. Every
	// server does so every few seconds, and leaves when it ends.
	Follow(ctx context.Context, node string) error
	Leave(ctx context.Context, node string) error
	Nodes(ctx context.Context) ([]Node, error)
	// Reseal looks for up to n values that another key has sealed and seals them with the one that seals. It may
	// be broken off at any time and begun again.
	Reseal(ctx context.Context, r Resealing, n int) (Resealing, error)
	// DropMasterKeys forgets all keys but the one that seals: the database opens without them from now on. It is
	// ErrStale if they have sealed anything that is still there.
	DropMasterKeys(ctx context.Context) ([]secret.KeyID, error)
}

// A BackupInfo is what may be said of a backup.
type BackupInfo struct {
	Made   time.Time
	Schema int64
	Org    string
	Keys   []secret.KeyID // the master keys that it is sealed with
	Rows   map[string]int // by table
	Sealed int            // how many sealed values were opened to verify it
}

// Backup copies a database. A DB offers it. Restoring is done before there is a DB; each database has a function for it.
type Backup interface {
	// Backup writes all that is in the database as of one moment, sealed as it is, while others read and write (S-83).
	Backup(ctx context.Context, w io.Writer, made time.Time) (BackupInfo, error)
}

// A Restore says how a backup is put back. Open sign-ins and codes from before are void in any case.
type Restore struct {
	Replace    bool        // throw away what is there
	KeepTokens bool        // refresh tokens from before stay good, those too that were used or revoked since
	By         audit.Event // what is recorded of it
}
