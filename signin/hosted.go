package signin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"latchkey.dev/idx"
)

// Hosted pages are the engine's own: an application sends the browser to the engine, which checks what is asked for and
// hands the browser over with [Pages.Begin]. They walk the sign-in as any other client does and at its end send the browser
// back to the engine, which sends it on to the application. They never see a code or a token, and keep no session.

// A Handoff is a sign-in that the engine has begun for a browser.
type Handoff struct {
	InteractionHandle string
	AppName           string // what the person signs in to
	Username          string // who they probably are (login_hint): typed for them
	Target            string // origin (https://app.example) or scheme (com.example.app:) of where the sign-in leads in the end
	Language          string // what the application wants spoken (ui_locales): tags with spaces between, the best first
	Back              string // where to go for somebody who gives up: a path of ours, or an http address; empty is nowhere
}

// Begin takes a browser over: it binds the sign-in to it by a cookie (S-17) and sends it to the first page. After an error
// nothing was answered.
func (s *Pages) Begin(w http.ResponseWriter, r *http.Request, h Handoff) error {
	if !s.cfg.Hosted {
		return errors.New("signin: these are an application's pages, which begin their sign-ins themselves")
	}
	target, err := formTarget(h.Target)
	if err != nil {
		return err
	}
	ctx, cancel := patient(r.Context())
	defer cancel()
	n := note{Username: cut(h.Username, 254), App: cut(h.AppName, 80), Target: target, Lang: firstOf(h.Language), Back: wayBack(h.Back)}
	r = spoken(r.WithContext(ctx), n.Lang)
	b := s.meet(w, r)
	tx, err := s.speaker(r, b).Adopt(ctx, h.InteractionHandle)
	if err != nil {
		return err
	}
	s.headers(w.Header())
	p := parked{ref: newRef(), note: n}
	if tx.Status() == idx.StatusSuccess {
		s.leave(w, r, p, tx)
		return nil
	}
	s.makeRoom(w, r, b)
	if err := s.settle(w, b, p, tx); err != nil {
		return err
	}
	s.toPage(w, r, p.ref)
	return nil
}

// leave sends the browser where its success is. The answer names the address, but that it is the engine's own is for us to
// see to: what a person typed must not lead them anywhere else (S-45).
func (s *Pages) leave(w http.ResponseWriter, r *http.Request, p parked, tx *idx.Transaction) {
	s.forget(w, p.ref)
	to := tx.RedirectURL()
	if to == nil || to.Scheme+"://"+to.Host != s.origin || to.User != nil {
		s.log.Error("signin: the sign-in does not end at the engine")
		s.refuse(w, r, http.StatusBadGateway, "broken")
		return
	}
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// restart begins the same sign-in again for somebody else.
func (s *Pages) restart(w http.ResponseWriter, r *http.Request, b browser) {
	p, ok := s.parked(r, b, r.PostForm.Get("ref"))
	if !ok || p.sealed == "" {
		s.toEntry(w, r)
		return
	}
	r = spoken(r, p.note.Lang)
	client := s.speaker(r, b)
	tx, err := s.resume(r.Context(), client, p)
	if err == nil {
		tx, err = client.Restart(r.Context(), tx)
	}
	switch {
	case over(err), errors.Is(err, idx.ErrNotOffered):
		s.toPage(w, r, p.ref) // there it says what became of it
		return
	case err != nil:
		s.fail(w, r, b, p, err)
		return
	}
	p.note = note{App: p.note.App, Target: p.note.Target, Lang: p.note.Lang, Back: p.note.Back}
	if err := s.settle(w, b, p, tx); err != nil {
		s.fail(w, r, b, p, err)
		return
	}
	s.toPage(w, r, p.ref)
}

// nothing is the first page of hosted pages for who comes without a sign-in.
func (s *Pages) nothing(w http.ResponseWriter, r *http.Request) {
	pg := s.page(r)
	pg.Message = &message{Icon: "info", Title: pg.T("hosted.title"), Lead: []string{pg.T("hosted.lead")}}
	if s.cfg.Account != nil {
		pg.Message.Href, pg.Message.Label = accountPath, pg.T("account.title")
	}
	s.render(w, http.StatusOK, pg)
}

// allow lets a form's answer lead to the application: browsers hold form-action against every address that a posted form is
// redirected to (CSP 3, 6.4.1).
func allow(h http.Header, target string) {
	if target != "" {
		h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "form-action 'self'", "form-action 'self' "+target, 1))
	}
}

var (
	webOrigin = regexp.MustCompile(`^https?://[a-z0-9.-]+(:[0-9]{1,5})?$`)
	webOther  = regexp.MustCompile(`^(https?:)//([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)
	appScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:$`)
)

// formTarget checks an origin or a scheme for its place in a policy. A policy cannot name an IPv6 address, or a host with an
// underscore (CSP 3, 2.3.1, host-char): its scheme has to do. Schemes that run something are no places to go to.
func formTarget(target string) (string, error) {
	lower := strings.ToLower(target)
	switch other := webOther.FindStringSubmatch(lower); {
	case target == "", webOrigin.MatchString(lower):
		return lower, nil
	case other != nil:
		return other[1], nil
	case appScheme.MatchString(lower) && lower != "javascript:" && lower != "data:" && lower != "blob:" && lower != "vbscript:":
		return lower, nil
	}
	return "", fmt.Errorf("signin: %q is neither an origin nor a scheme", target)
}

// wayBack is an address to link to, or empty. It rides in a cookie, so that it must not be long.
func wayBack(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil, len(address) > 512, strings.HasPrefix(address, "//"), strings.Contains(address, `\`):
		return ""
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(address, "/"), (u.Scheme == "https" || u.Scheme == "http") && u.Host != "":
		return address
	}
	return ""
}

// firstOf is the first of some language tags that we speak; empty if there is none.
func firstOf(tags string) string {
	for tag := range strings.FieldsSeq(tags) {
		lang, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if _, ours := catalogues()[lang]; ours {
			return lang
		}
	}
	return ""
}

// spoken is r as if its browser preferred lang to all others: for the page, and for what the engine says and sends.
func spoken(r *http.Request, lang string) *http.Request {
	if lang == "" {
		return r
	}
	r = r.Clone(r.Context())
	if own := r.Header.Get("Accept-Language"); own != "" {
		lang += ", " + own
	}
	r.Header.Set("Accept-Language", lang)
	return r
}

// inItsTongue is r in the language of the sign-in whose page it is about.
func (s *Pages) inItsTongue(r *http.Request, ref string) *http.Request {
	if b, ok := s.known(r); ok {
		if p, ok := s.parked(r, b, ref); ok {
			return spoken(r, p.note.Lang)
		}
	}
	return r
}

// hostedClient is the one that hosted pages speak with: they are nobody's relying party.
func (s *Pages) hostedClient() (*idx.Client, error) {
	return idx.New(idx.Config{Issuer: s.origin, ClientID: "hosted", RedirectURI: s.origin + s.entryPath()},
		idx.WithHTTPClient(&http.Client{Transport: s.cfg.Engine}), idx.WithLogger(s.log), idx.WithClock(s.now))
}
