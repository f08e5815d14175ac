package wire

import (
	"context"
	"errors"
	"net/http"

	"latchkey.dev/internal/account"
	"latchkey.dev/internal/op"
	"latchkey.dev/internal/secret"
	"latchkey.dev/signin"
)

// accounts answer the account pages. The pages know nothing of what is inside, so that what they ask and what they are
// told is put into their words here.
type accounts struct{ *account.Accounts }

func (a accounts) Profile(ctx context.Context, session string) (signin.Profile, error) {
	p, err := a.Accounts.Profile(ctx, session)
	return signin.Profile{Name: p.Name, Username: p.Login, Email: p.Email, Phone: p.Phone, Zone: p.Zone, PasswordMin: p.Least, Fresh: p.Fresh}, told(err)
}

func (a accounts) ChangePassword(ctx context.Context, session, current, next string) (string, error) {
	value, err := a.Accounts.ChangePassword(ctx, session, secret.Text(current), secret.Text(next))
	return value.Reveal(), told(err)
}

func (a accounts) RemovePhone(ctx context.Context, session string) (string, error) {
	value, err := a.Accounts.RemovePhone(ctx, session)
	return value.Reveal(), told(err)
}

func (a accounts) Sessions(ctx context.Context, session string) ([]signin.SessionInfo, error) {
	all, err := a.Accounts.Sessions(ctx, session)
	var infos []signin.SessionInfo
	for _, s := range all {
		infos = append(infos, signin.SessionInfo{ID: s.ID, Current: s.ID == session, Agent: s.Agent, Address: s.Source, Began: s.Created, Seen: s.Seen})
	}
	return infos, told(err)
}

func (a accounts) EndSession(ctx context.Context, session, id string) error {
	return told(a.Accounts.EndSession(ctx, session, id))
}

func (a accounts) EndSessions(ctx context.Context, session string) error {
	return told(a.Accounts.EndSessions(ctx, session))
}

func (a accounts) SignIns(ctx context.Context, session string) ([]signin.SignIn, error) {
	all, err := a.Accounts.SignIns(ctx, session)
	var shown []signin.SignIn
	for _, s := range all {
		shown = append(shown, signin.SignIn{At: s.At, App: s.App, Agent: s.Source.Agent, Address: s.Source.Address})
	}
	return shown, told(err)
}

// told is an error of ours in the words of the pages.
func told(err error) error {
	for ours, theirs := range map[error]error{
		account.ErrSignedOut: signin.ErrSignedOut, account.ErrStepUp: signin.ErrStepUp, account.ErrWrongPassword: signin.ErrWrongPassword,
		account.ErrTooMany: signin.ErrTooMany, account.ErrNoSuchSession: signin.ErrNoSuchSession,
		account.ErrNoPhone: signin.ErrNoPhone,
	} {
		if errors.Is(err, ours) {
			return theirs
		}
	}
	var weak *account.WeakError
	if errors.As(err, &weak) {
		return &signin.WeakPasswordError{Why: signin.Weakness(weak.Why)}
	}
	return err
}

// accountSignIn has somebody sign in for an account page, with nothing old if it is to be fresh.
func accountSignIn(w http.ResponseWriter, r *http.Request, back string, fresh bool) {
	to := op.AccountSignIn(back, 0)
	if fresh {
		to = op.AccountSignIn(back, account.Fresh)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
