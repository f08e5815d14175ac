package signin

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/idx"
)

// entry is where a sign-in begins, and where somebody who closed the page finds theirs again.
func (s *Pages) entry(w http.ResponseWriter, r *http.Request) {
	if held, ok := s.Session(r); ok {
		s.showProfile(w, r, held, nil)
		return
	}
	b := s.meet(w, r)
	client := s.speaker(r, b)
	for _, p := range s.allParked(r, b) {
		tx, err := s.resume(r.Context(), client, p)
		switch {
		case err == nil && tx.NextStep() != nil:
			p.note.Says = nil // what was wrong an hour ago is no news
			s.showStep(w, spoken(r, p.note.Lang), b, p, tx)
			return
		case err == nil || over(err) || errors.As(err, new(*idx.RejectedError)):
			s.forget(w, p.ref)
		default:
			s.fail(w, r, b, parked{}, err)
			return
		}
	}
	if s.cfg.Hosted {
		s.nothing(w, r)
		return
	}
	p, tx, err := s.start(w, r, b, client)
	if err != nil {
		s.fail(w, r, b, parked{}, err)
		return
	}
	s.showStep(w, r, b, p, tx)
}

// show is the page of one sign-in. It reads where that stands and changes nothing.
func (s *Pages) show(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("ref")
	if !validRef(ref) {
		s.missing(w, r)
		return
	}
	b := s.meet(w, r)
	p, ok := s.parked(r, b, ref)
	if !ok {
		s.gone(w, r)
		return
	}
	if p.sealed == "" { // the engine is done with it and left a word
		s.last(w, r, p)
		return
	}
	tx, err := s.resume(r.Context(), s.speaker(r, b), p)
	switch {
	case over(err) && slices.ContainsFunc(p.note.Says, func(m say) bool { return m.Bad }):
		s.last(w, r, p)
	case over(err):
		s.forget(w, ref)
		s.gone(w, r)
	case err != nil:
		s.fail(w, r, b, p, err)
	case tx.Status() == idx.StatusSuccess && s.cfg.Hosted:
		s.leave(w, r, p, tx)
	case tx.NextStep() == nil:
		s.last(w, r, p)
	default:
		s.showStep(w, r, b, p, tx)
	}
}

// page is what every page of this request has in common.
func (s *Pages) page(r *http.Request) *page {
	p := &page{tongue: speak(r.Header.Get("Accept-Language")), App: s.cfg.AppName, Base: s.base, Number: newRef(), assets: s.assetURLs}
	if b, ok := s.known(r); ok {
		p.CSRF = s.csrf(b)
	}
	return p
}

// showStep draws the step that tx stands at.
func (s *Pages) showStep(w http.ResponseWriter, r *http.Request, b browser, p parked, tx *idx.Transaction) {
	pg := s.page(r)
	pg.CSRF, pg.Ref = s.csrf(b), p.ref
	allow(w.Header(), p.note.Target)
	pg.Form = s.draw(pg.tongue, p, tx, r.URL.Query().Get("view"))
	if tx.NextStep().Name != "identify" {
		pg.Who = cmp.Or(tx.Identifier(), p.note.Username)
	}
	if p.note.Step == "" || p.note.Step == pg.Form.Step {
		pg.say(p.note.Says)
	}
	s.render(w, http.StatusOK, pg)
}

// say puts messages where they belong: at the field that they are about, else above the form. The focus goes there too.
func (p *page) say(says []say) {
	for _, m := range says {
		text := p.words(m)
		if i := p.fieldFor(m); i >= 0 {
			p.unfocus()
			f := &p.Form.Fields[i]
			f.Error, f.Focus = text, true
			if strings.HasPrefix(text, f.Hint) { // once is enough
				f.Hint = ""
			}
			p.Failed = true
			continue
		}
		p.Notices = append(p.Notices, text)
		p.Failed = p.Failed || m.Bad
		if i := p.passwordField(); i >= 0 && (m.Key == "errors.E0000004" || m.Key == "incorrectPassword") {
			p.unfocus()
			p.Form.Fields[i].NoticeToo, p.Form.Fields[i].Focus = true, true
		} else if m.Bad && !p.errorShown() {
			p.unfocus()
			p.FocusNotice = true
		}
	}
	if len(p.Notices) > 0 && p.errorShown() {
		p.FocusNotice = false
	}
}

// words are the text of m in the person's language: ours if we have it, else the engine's.
func (p *page) words(m say) string {
	switch {
	case p.has(m.Key):
		return p.T(m.Key, m.Arg)
	case m.Text != "":
		return m.Text
	default:
		return p.T("notice.internal")
	}
}

// fieldFor is the field that a bad message is about, or -1.
func (p *page) fieldFor(m say) int {
	if p.Form == nil || m.Field == "" || !m.Bad {
		return -1
	}
	if i := slices.IndexFunc(p.Form.Fields, func(f field) bool { return f.Name == "v."+m.Field }); i >= 0 {
		return i
	}
	return slices.IndexFunc(p.Form.Fields, func(f field) bool { return f.Kind != "fixed" && last(f.Name) == last(m.Field) })
}

func (p *page) passwordField() int {
	if p.Form == nil {
		return -1
	}
	return slices.IndexFunc(p.Form.Fields, func(f field) bool { return f.Kind == "password" })
}

func (p *page) errorShown() bool {
	return p.Form != nil && slices.ContainsFunc(p.Form.Fields, func(f field) bool { return f.Error != "" || f.NoticeToo })
}

func (p *page) unfocus() {
	if p.Form == nil {
		return
	}
	for i := range p.Form.Fields {
		if f := &p.Form.Fields[i]; f.Error == "" && !f.NoticeToo { // the first error keeps it
			f.Focus = false
		}
	}
}

// gone is shown for a sign-in that this browser does not have, or the engine no longer. If somebody has signed in
// meanwhile, in another tab, it says that instead.
func (s *Pages) gone(w http.ResponseWriter, r *http.Request) {
	pg := s.page(r)
	if held, ok := s.Session(r); ok {
		s.showProfile(w, r, held, []string{pg.T("notice.other")})
		return
	}
	pg.Message = &message{Icon: "clock", Title: pg.T("expired.title"), Lead: []string{pg.T("expired.lead")},
		Href: s.entryPath(), Label: pg.T("action.again")}
	if s.cfg.Hosted { // only the application can start again
		pg.Message.Title, pg.Message.Lead, pg.Message.Href = pg.T("over.title"), []string{pg.T("over.lead")}, ""
	}
	s.render(w, http.StatusOK, pg)
}

// last is the word that the engine left at the end of a sign-in that led nowhere.
func (s *Pages) last(w http.ResponseWriter, r *http.Request, p parked) {
	pg := s.page(r)
	m := &message{Icon: "check", Title: pg.T("done.title"), Href: s.entryPath(), Label: pg.T("action.again")}
	for _, one := range p.note.Says {
		m.Lead = append(m.Lead, pg.words(one))
		m.Bad = m.Bad || one.Bad
	}
	if m.Bad || len(m.Lead) == 0 {
		m.Icon, m.Title = "alert", pg.T("stopped.title")
	}
	if s.cfg.Hosted {
		m.Href, m.Label = p.note.Back, pg.T("action.back.app", cmp.Or(p.note.App, pg.App))
	}
	s.forget(w, p.ref)
	pg.Message = m
	s.render(w, http.StatusOK, pg)
}

// refuse is a page that says why a request was not answered. kind names its texts.
func (s *Pages) refuse(w http.ResponseWriter, r *http.Request, status int, kind string) {
	pg := s.page(r)
	pg.Message = &message{Icon: "alert", Bad: true, Title: pg.T(kind + ".title"), Lead: []string{pg.T(kind + ".lead")},
		Href: s.entryPath(), Label: pg.T("action.again")}
	s.render(w, status, pg)
}

func (s *Pages) missing(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, http.StatusNotFound, "missing")
}

// fail answers when the engine did not, or not in a way that a person can do anything about. What they typed is kept.
func (s *Pages) fail(w http.ResponseWriter, r *http.Request, b browser, p parked, err error) {
	if r.Context().Err() != nil && errors.Is(err, r.Context().Err()) {
		s.log.Info("signin: nobody waits for the answer any more", "error", err)
	} else {
		s.log.Error("signin: the engine did not answer", "error", err)
	}
	var no *idx.RejectedError
	if errors.As(err, &no) && len(no.Messages) > 0 {
		s.denied(w, r, no)
		return
	}
	back := s.entryPath()
	if p.sealed != "" {
		s.park(w, b, p)
		back = s.base + "/" + p.ref
	}
	status, kind := http.StatusBadGateway, "unavailable"
	var broken *idx.ServerError
	if errors.As(err, &broken) && (broken.Status == http.StatusServiceUnavailable || broken.Status == http.StatusTooManyRequests) {
		status, kind = http.StatusServiceUnavailable, "busy"
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(broken.RetryAfter/time.Second))))
	}
	pg := s.page(r)
	pg.Message = &message{Icon: "alert", Bad: true, Title: pg.T(kind + ".title"), Lead: []string{pg.T(kind + ".lead")},
		Href: back, Label: pg.T("action.retry")}
	s.render(w, status, pg)
}

// denied is shown when the engine will not even begin.
func (s *Pages) denied(w http.ResponseWriter, r *http.Request, no *idx.RejectedError) {
	pg := s.page(r)
	m := &message{Icon: "alert", Bad: true, Title: pg.T("denied.title"), Href: s.entryPath(), Label: pg.T("action.again")}
	for _, one := range no.Messages {
		m.Lead = append(m.Lead, pg.words(say{Key: one.Key, Text: cut(one.Text, maxText)}))
	}
	pg.Message = m
	s.render(w, http.StatusForbidden, pg)
}

// profile says who is signed in.
func (s *Pages) profile(w http.ResponseWriter, r *http.Request) {
	held, ok := s.Session(r)
	if !ok {
		s.toEntry(w, r)
		return
	}
	s.showProfile(w, r, held, nil)
}

func (s *Pages) showProfile(w http.ResponseWriter, r *http.Request, held Session, notices []string) {
	b := s.meet(w, r)
	pg := s.page(r)
	pg.CSRF, pg.Notices = s.csrf(b), notices
	var claims struct {
		Name              string `json:"name"`
		PreferredUsername string `json:"preferred_username"`
		Email             string `json:"email"`
		PhoneNumber       string `json:"phone_number"`
	}
	_ = json.Unmarshal(held.User.Claims, &claims) // what is not there is not shown
	p := &profile{Name: cmp.Or(held.User.Name, claims.Name), Href: s.cfg.AfterSignIn}
	for _, f := range []fact{
		{pg.T("profile.name"), p.Name},
		{pg.T("profile.username"), claims.PreferredUsername},
		{pg.T("profile.email"), cmp.Or(held.User.Email, claims.Email)},
		{pg.T("profile.phone"), masked(strings.ReplaceAll(cmp.Or(held.User.Phone, claims.PhoneNumber), " ", ""))},
	} {
		if f.Value != "" {
			p.Facts = append(p.Facts, f)
		}
	}
	pg.Profile = p
	s.render(w, http.StatusOK, pg)
}

// signOut ends the session and says so.
func (s *Pages) signOut(w http.ResponseWriter, r *http.Request) {
	s.SignOut(w, r)
	http.Redirect(w, r, cmp.Or(s.cfg.AfterSignOut, s.base+"/signed-out"), http.StatusSeeOther)
}

func (s *Pages) signedOut(w http.ResponseWriter, r *http.Request) {
	pg := s.page(r)
	pg.Message = &message{Icon: "check", Title: pg.T("signedout.title"), Lead: []string{pg.T("signedout.lead")}}
	if !s.cfg.Hosted {
		pg.Message.Href, pg.Message.Label = s.entryPath(), pg.T("signin.title")
	}
	s.render(w, http.StatusOK, pg)
}
