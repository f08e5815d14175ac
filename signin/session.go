package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"sync"
	"time"

	"latchkey.dev/idx"
)

// A Session is somebody signed in in one browser.
type Session struct {
	Tokens  *idx.Tokens
	User    *idx.UserInfo
	Began   time.Time
	Seen    time.Time
	Expires time.Time // when the store may forget it
}

// ErrNoSession is what a SessionStore returns for a key that it does not hold.
var ErrNoSession = errors.New("signin: no such session")

// SessionStore keeps sessions. The key is a digest of the cookie, so that who reads the store cannot be anybody. It had
// better be a [SessionToucher], too.
type SessionStore interface {
	Save(ctx context.Context, key string, s Session) error
	Load(ctx context.Context, key string) (Session, error)
	Delete(ctx context.Context, key string) error
}

// A SessionToucher is a SessionStore that can change a session only if it still holds it. [Pages.Session] reads a session
// and saves it as seen: without Touch, one that was signed out of between the two comes back.
type SessionToucher interface {
	SessionStore
	// Touch saves s in the place of what is held, or returns ErrNoSession and keeps nothing.
	Touch(ctx context.Context, key string, s Session) error
}

// Memory keeps sessions in this process; they end with it.
type Memory struct {
	mu   sync.Mutex
	held map[string]Session
	next int // sweep when this many are held
}

// NewMemory is an empty Memory.
func NewMemory() *Memory { return &Memory{held: map[string]Session{}, next: 1024} }

// Save keeps s. When the number doubles since the last time it forgets what has expired, which costs little on average.
func (m *Memory) Save(_ context.Context, key string, s Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[key] = s
	if len(m.held) > m.next {
		for k, old := range m.held {
			if old.Expires.Before(s.Seen) {
				delete(m.held, k)
			}
		}
		m.next = max(1024, 2*len(m.held))
	}
	return nil
}

// Touch saves s if there is a session of that key, else it returns ErrNoSession.
func (m *Memory) Touch(_ context.Context, key string, s Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.held[key]; !ok {
		return ErrNoSession
	}
	m.held[key] = s
	return nil
}

// Load returns the session, or ErrNoSession.
func (m *Memory) Load(_ context.Context, key string) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.held[key]
	if !ok {
		return Session{}, ErrNoSession
	}
	return s, nil
}

// Delete forgets the session, if it is there.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, key)
	return nil
}

// Session is who is signed in in the browser that sent r. It ends SessionIdle after it was last asked for, and SessionMax
// after it began (S-40).
func (s *Pages) Session(r *http.Request) (Session, bool) {
	key, ok := s.sessionKey(r)
	if !ok || s.cfg.Hosted {
		return Session{}, false
	}
	held, err := s.cfg.Sessions.Load(r.Context(), key)
	if err != nil {
		if !errors.Is(err, ErrNoSession) {
			s.log.Error("signin: session not loaded", "error", err)
		}
		return Session{}, false
	}
	now := s.now()
	if now.Sub(held.Began) >= s.cfg.SessionMax || now.Sub(held.Seen) >= s.cfg.SessionIdle {
		if err := s.cfg.Sessions.Delete(r.Context(), key); err != nil {
			s.log.Error("signin: session not deleted", "error", err)
		}
		return Session{}, false
	}
	if now.Sub(held.Seen) > s.cfg.SessionIdle/60 { // not at every request: a store may be a database
		held.Seen = now
		save := s.cfg.Sessions.Save
		if t, ok := s.cfg.Sessions.(SessionToucher); ok {
			save = t.Touch
		}
		switch err := save(r.Context(), key, s.lasting(held)); {
		case errors.Is(err, ErrNoSession): // signed out meanwhile
			return Session{}, false
		case err != nil:
			s.log.Error("signin: session not kept alive", "error", err)
		}
	}
	return held, true
}

// lasting is a session with its end, as it stands.
func (s *Pages) lasting(held Session) Session {
	held.Expires = held.Began.Add(s.cfg.SessionMax)
	if idle := held.Seen.Add(s.cfg.SessionIdle); idle.Before(held.Expires) {
		held.Expires = idle
	}
	return held
}

// sessionKey is what the store knows the browser's session by.
func (s *Pages) sessionKey(r *http.Request) (string, bool) {
	c, err := r.Cookie(s.cookies + "session")
	if err != nil || len(c.Value) != 43 {
		return "", false
	}
	return digest(c.Value), true
}

func digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// begin keeps a new session under a new value, whatever the browser had before (S-40), and ends that.
func (s *Pages) begin(ctx context.Context, w http.ResponseWriter, r *http.Request, t *idx.Tokens, u *idx.UserInfo) error {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	value, now := base64.RawURLEncoding.EncodeToString(raw), s.now()
	if err := s.cfg.Sessions.Save(ctx, digest(value), s.lasting(Session{Tokens: t, User: u, Began: now, Seen: now})); err != nil {
		return err
	}
	if old, ok := s.sessionKey(r); ok {
		if err := s.cfg.Sessions.Delete(ctx, old); err != nil {
			s.log.Error("signin: session not deleted", "error", err)
		}
	}
	http.SetCookie(w, s.cookie("session", value, 0))
	return nil
}

// SignOut ends the session of the browser that sent r, here and, by revoking its tokens, at the engine. The application's
// own sign-out handler may call it; it must be a POST that is protected against forgery. The pages' own is POST /sign-out.
func (s *Pages) SignOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.cookie("session", "", -1))
	key, ok := s.sessionKey(r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	held, err := s.cfg.Sessions.Load(ctx, key)
	if err == nil {
		err = s.cfg.Sessions.Delete(ctx, key)
	}
	if err != nil {
		if !errors.Is(err, ErrNoSession) {
			s.log.Error("signin: session not ended", "error", err)
		}
		return
	}
	// Refresh first: a refresh token left alive could make new access tokens.
	for _, token := range []string{held.Tokens.RefreshToken, held.Tokens.AccessToken} {
		if token == "" {
			continue
		}
		if err := s.client.Revoke(ctx, token); err != nil {
			s.log.Warn("signin: token not revoked", "error", err)
		}
	}
}

// A SignOutForm is what a page of the application needs to offer signing out: a form that posts to Action a field csrf
// with the value Token. It is empty unless the browser has signed in here.
type SignOutForm struct{ Action, Token string }

// SignOutForm is for the browser that sent r.
func (s *Pages) SignOutForm(r *http.Request) SignOutForm {
	b, ok := s.known(r)
	if !ok {
		return SignOutForm{}
	}
	return SignOutForm{Action: s.base + "/sign-out", Token: s.csrf(b)}
}
