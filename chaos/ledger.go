//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"latchkey.dev/idx"
)

// A ledger is what people were told, to be compared with what is there afterwards.
type ledger struct {
	mu       sync.Mutex
	signedIn []*visit       // with tokens, whose code is used
	spent    []spentRefresh // refresh tokens that were traded for others
	guessed  []*guessing
	asked    []*visit // whose code was said to be on its way
	enrolled []*visit // whose phone was set up
	finished []*visit // whose right code was accepted, and what it gave
	refused  []error  // what people could not make again
}

// A spentRefresh was traded by somebody.
type spentRefresh struct {
	by    *visit
	token string
}

// A guessing is a code at which somebody guesses wrong.
type guessing struct {
	*visit
	judged  int // told that it is wrong
	unknown int // no answer: counted or not
}

func (l *ledger) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// begun reports whether somebody has tokens, somebody traded them, and somebody guessed.
func (l *ledger) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.signedIn) > 0 && len(l.spent) > 0 && len(l.guessed) > 0
}

// live does what people do, one person after the other, until something fails or ctx ends.
func (l *ledger) live(ctx context.Context, h *house, worker int) error {
	for round := worker; ctx.Err() == nil; round++ {
		who, err := h.people.take()
		if err != nil {
			return err
		}
		v, err := h.visit(who)
		if err != nil {
			return err
		}
		if round%4 == 3 {
			err = l.guess(ctx, v)
		} else {
			err = l.signIn(ctx, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// signIn signs somebody in, and notes each thing as soon as it is acknowledged.
func (l *ledger) signIn(ctx context.Context, v *visit) error {
	if err := l.ask(ctx, v); err != nil {
		return err
	}
	if err := v.answer(ctx); err != nil {
		return err
	}
	l.note(func() {
		l.finished = append(l.finished, v)
		if !v.who.enrolled() {
			l.enrolled = append(l.enrolled, v)
		}
	})
	if err := v.redeem(ctx); err != nil {
		return err
	}
	l.note(func() { l.signedIn = append(l.signedIn, v) })
	next, err := v.client.Refresh(ctx, v.tokens.RefreshToken)
	if err != nil {
		return err
	}
	l.note(func() { l.spent = append(l.spent, spentRefresh{v, v.tokens.RefreshToken}) })
	l.note(func() { v.tokens = next })
	return nil
}

func (l *ledger) ask(ctx context.Context, v *visit) error {
	if err := v.identify(ctx); err != nil {
		return err
	}
	if err := v.ask(ctx); err != nil {
		return err
	}
	l.note(func() { l.asked = append(l.asked, v) })
	return v.receive()
}

// guess gives two wrong answers to a code.
func (l *ledger) guess(ctx context.Context, v *visit) error {
	if err := l.ask(ctx, v); err != nil {
		return err
	}
	g := &guessing{visit: v}
	l.note(func() { l.guessed = append(l.guessed, g) })
	for range 2 {
		judged, err := g.wrong(ctx)
		l.note(func() {
			switch {
			case judged:
				g.judged++
			case passing(err):
				g.unknown++
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wrong answers with a code that is not the right one, and says whether it was judged.
func (g *guessing) wrong(ctx context.Context) (judged bool, err error) {
	_, err = g.client.Continue(ctx, g.tx, idx.Answers{VerificationCode: other(g.code)})
	var no *idx.RejectedError
	switch {
	case err == nil:
		return true, errors.New("a wrong code was accepted")
	case errors.As(err, &no) && no.Status == http.StatusUnauthorized && hasKey(no.Messages, "api.authn.error.PASSCODE_INVALID"):
		return true, nil
	}
	return false, err
}

func hasKey(all []idx.Message, key string) bool {
	for _, m := range all {
		if m.Key == key {
			return true
		}
	}
	return false
}

// other is a code that differs in its last digit.
func other(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

// An audit is what was found afterwards: how much was looked at, and what is wrong.
type findings struct {
	tokens, codes, refreshes, tries, texts, phones int
	wrong                                          []string
}

func (f *findings) add(g findings) {
	f.tokens += g.tokens
	f.codes += g.codes
	f.refreshes += g.refreshes
	f.tries += g.tries
	f.texts += g.texts
	f.phones += g.phones
	f.wrong = append(f.wrong, g.wrong...)
}

func (f *findings) String() string {
	return fmt.Sprintf("%d grants, %d used codes, %d used refresh tokens, %d wrong tries, %d texts, %d new phones looked at",
		f.tokens, f.codes, f.refreshes, f.tries, f.texts, f.phones)
}

// examine compares what people were told with what is there (S-75).
func (l *ledger) examine(ctx context.Context, tries int) (f findings, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	blame := func(format string, args ...any) { f.wrong = append(f.wrong, fmt.Sprintf(format, args...)) }
	for _, v := range l.asked {
		f.texts++
		if v.code == "" { // the death came between the answer and the text
			if err := v.receive(); err != nil {
				blame("a text that was promised is missing: %v", err)
			}
		}
	}
	for _, v := range l.signedIn {
		f.tokens++
		if _, err := v.client.UserInfo(ctx, v.tokens); passing(err) {
			return f, err
		} else if err != nil {
			blame("%s: a grant that was acknowledged is missing: %v", v.who.login(), err)
		}
	}
	for _, v := range l.finished {
		f.codes++
		before := v.tx.InteractionCode()
		tx, err := v.client.Continue(ctx, v.codeStep(), idx.Answers{VerificationCode: v.code})
		switch {
		case passing(err):
			return f, err
		case err == nil && tx.InteractionCode() != before:
			blame("%s: a used code of a text opened the flow once more", v.who.login())
		}
	}
	for _, s := range l.spent {
		f.refreshes++
		if _, err := s.by.client.Refresh(ctx, s.token); err == nil {
			blame("%s: a used refresh token is good again", s.by.who.login())
		} else if passing(err) {
			return f, err
		}
	}
	for _, v := range l.signedIn {
		if _, err := v.client.Exchange(ctx, v.tx); err == nil {
			blame("%s: a used interaction code is good again", v.who.login())
		} else if passing(err) {
			return f, err
		}
	}
	for _, g := range l.guessed {
		if g.code == "" {
			continue
		}
		for range tries + 2 {
			judged, err := g.wrong(ctx)
			if passing(err) {
				return f, err
			}
			if judged {
				g.judged++
			}
		}
		f.tries += g.judged
		if g.judged > tries {
			blame("%s: %d wrong codes were judged", g.who.login(), g.judged)
		}
	}
	// One of those who set up a phone comes back; a password costs too much to ask all of them.
	if n := len(l.enrolled); n > 0 {
		f.phones++
		v, err := l.enrolled[n-1].h.visit(l.enrolled[n-1].who)
		if err != nil {
			return f, err
		}
		if err := v.identify(ctx); err != nil {
			return f, err
		}
		if step := v.tx.NextStep(); step == nil || step.Name == "select-authenticator-enroll" {
			blame("%s: a phone that was set up is missing", v.who.login())
		}
	}
	return f, nil
}
