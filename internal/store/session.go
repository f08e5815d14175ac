package store

import (
	"context"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
)

// A Session is a browser in which somebody is signed in.
type Session struct {
	ID      string        // ses…: the sid of ID tokens. It opens nothing
	Value   secret.Digest // of the cookie
	User    ident.UserID
	Proofs  []flow.Proof // what was shown, the last of each kind
	Source  string       // the address, and what the browser calls itself: for the list that its owner sees
	Agent   string
	Created time.Time
	Seen    time.Time
	Expires time.Time // unless it is seen again
}

// A Membership is an application that was entered in a session.
type Membership struct {
	Client oauth.ClientID
	Server string
	Joined time.Time
	SID    string // of the session as the application knows it: this one, or one that went up in it
}

// A Logout is the end of a session, to be told to an application that was entered in it (OpenID Connect
// Back-Channel Logout).
type Logout struct {
	ID       string
	Session  string
	Client   oauth.ClientID
	Server   string
	User     ident.UserID
	Attempts int
	Due      time.Time // next attempt, or when another node may take it
	Ends     time.Time // not told any more after this
}

// LogoutLife is how long an application is told: one that is away for longer finds out from its tokens.
const LogoutLife = time.Hour

// Sessions keeps them. Whoever ends one leaves a [Logout] for each application in it: that cannot be forgotten.
type Sessions interface {
	AddSession(ctx context.Context, s Session) error
	// Session finds one by the digest of its cookie, SessionByID by its id. One that has expired is returned until
	// it is swept: the caller judges by its own clock.
	Session(ctx context.Context, value secret.Digest) (Session, error)
	SessionByID(ctx context.Context, id string) (Session, error)
	// HoldSession is SessionByID for a commit that stands on it: whoever wants to change or end it waits for that commit.
	HoldSession(ctx context.Context, id string) (Session, error)
	// SessionsOf returns a user's, the last seen first.
	SessionsOf(ctx context.Context, u ident.UserID) ([]Session, error)
	// SeeSession keeps it alive.
	SeeSession(ctx context.Context, id string, seen, expires time.Time) error
	// RaiseSession gives a session more proofs under another value (S-40); ErrStale if it has another one by now, or has
	// ended. What is not its value, proofs, seen and expires stays.
	RaiseSession(ctx context.Context, was secret.Digest, s Session) error
	// JoinSession notes that an application was entered in it, and knows it by its own id; again is no error. ErrStale if it has ended: nobody would
	// tell that application. It waits for whoever is ending it, and that for us.
	JoinSession(ctx context.Context, id string, m Membership) error
	// InheritSession lets one go up in another of the same user: its applications are told when that ends. What was begun
	// in the one goes on in the other only if it lends. ErrStale if either has ended.
	InheritSession(ctx context.Context, from, into string, lends bool) error
	// Heir finds the session that one went up in, over however many steps, and whether each of them lent.
	Heir(ctx context.Context, sid string) (s Session, lends bool, err error)
	Memberships(ctx context.Context, id string) ([]Membership, error) // the first joined first
	// EndSession ends one; EndSessionsOf all of a user, except perhaps one, and returns how many. It holds that one, too: two
	// that want to end each other take turns.
	EndSession(ctx context.Context, id string, at time.Time) error
	EndSessionsOf(ctx context.Context, u ident.UserID, except string, at time.Time) (int, error)
	// LogoutsDue returns the ids of up to n that are to be told now: the first of each application before the second of any.
	LogoutsDue(ctx context.Context, now time.Time, n int) ([]string, error)
	// LeaseLogouts takes those of them until the given time that nobody else took meanwhile.
	LeaseLogouts(ctx context.Context, ids []string, now, until time.Time) ([]Logout, error)
	// ReturnLogout makes one that was leased and not tried due again, unless the lease is over and another has it by now.
	ReturnLogout(ctx context.Context, leased Logout, due time.Time) error
	// HoldLogouts puts off all that an application is to be told now.
	HoldLogouts(ctx context.Context, c oauth.ClientID, now, until time.Time) error
	// PostponeLogout counts an attempt; DropLogout is the end of it, told or given up.
	PostponeLogout(ctx context.Context, id string, due time.Time) error
	DropLogout(ctx context.Context, id string) error
}
