package signin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Account is what the account pages ask and change. They hold no rules: who may do what, and when it has to be shown
// anew who somebody is, is for it to say. Every call names the session of the browser, as [Config.Visitor] told it.
type Account interface {
	Profile(ctx context.Context, session string) (Profile, error)
	// ChangePassword sets another password, ends all sessions of the person, and tells them. Another session takes the place
	// of the one that asked: its value is for [Config.Renew] (S-40).
	ChangePassword(ctx context.Context, session, current, next string) (value string, err error)
	// RemovePhone takes their phone off, and does all else that ChangePassword does.
	RemovePhone(ctx context.Context, session string) (value string, err error)
	Sessions(ctx context.Context, session string) ([]SessionInfo, error)
	// EndSession ends one of the person's sessions, EndSessions all of them, this one too.
	EndSession(ctx context.Context, session, id string) error
	EndSessions(ctx context.Context, session string) error
	// SignIns are the last ones, newest first.
	SignIns(ctx context.Context, session string) ([]SignIn, error)
}

// A Profile is who somebody is.
type Profile struct {
	Name, Username, Email string
	Phone                 string // as it may be shown; empty if there is none
	Zone                  string // IANA time zone; empty is UTC
	PasswordMin           int    // how many characters a new password has at least
	Fresh                 bool   // it has been shown lately who it is: no change would be ErrStepUp
}

// A SessionInfo is one browser in which somebody is signed in.
type SessionInfo struct {
	ID      string
	Current bool // the one that asks
	Agent   string
	Address string
	Began   time.Time
	Seen    time.Time
}

// A SignIn is one that was completed.
type SignIn struct {
	At      time.Time
	App     string
	Agent   string
	Address string
}

// What an Account answers if it does not do what it is asked to. All else is a fault of the service.
var (
	ErrSignedOut     = errors.New("signin: nobody is signed in in that session")
	ErrStepUp        = errors.New("signin: the sign-in was too long ago for this")
	ErrWrongPassword = errors.New("signin: the password is wrong")
	ErrTooMany       = errors.New("signin: too many tries")
	ErrNoPhone       = errors.New("signin: there is no phone")
	ErrNoSuchSession = errors.New("signin: there is no such session")
)

// A WeakPasswordError is a new password that will not do.
type WeakPasswordError struct{ Why Weakness }

func (e *WeakPasswordError) Error() string {
	return "signin: the password will not do: " + string(e.Why)
}

// A Weakness is why a password will not do.
type Weakness string

// The weaknesses.
const (
	WeakLength   Weakness = "length"   // too short or too long
	WeakPersonal Weakness = "personal" // made of what is known about the person
	WeakCommon   Weakness = "common"   // on everybody's lists
	WeakSame     Weakness = "same"     // the one that it is to replace
)

// An accountPage is one of the account pages.
type accountPage struct {
	Title   string
	Visitor string // whom it was drawn for: its forms act for nobody else
	Facts   []fact
	Links   []link
	Rows    []row
	Empty   string // what it says instead of no rows
	Submit  string
	Fields  []field // of the form, if there is one
	User    string  // whose password it asks for
	All     string  // label of the button that ends all sessions
	Back    string  // label of the link to the first account page
}

type link struct{ Href, Icon, Title, About string }

// A row is one line of a list, perhaps with a button that ends what it is about.
type row struct{ Title, About, ID, End, EndLabel string }

// accountPath is where the account pages are: at one address of the origin, wherever the others are, for people type it.
const accountPath = "/account"

// forAccount tells whether a path is that of an account page.
func (s *Pages) forAccount(path string) bool {
	return s.cfg.Account != nil && (path == accountPath || strings.HasPrefix(path, accountPath+"/"))
}

func (s *Pages) accountRoutes() map[string]http.HandlerFunc {
	to := func(path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, path, http.StatusSeeOther)
		}
	}
	return map[string]http.HandlerFunc{
		"GET /account":                   s.visited("/account", s.overview),
		"GET /account/password":          s.visited("/account/password", s.passwordPage),
		"POST /account/password":         s.change("/account/password", s.changePassword),
		"GET /account/phone":             s.visited("/account/phone", s.phonePage),
		"POST /account/phone/remove":     s.change("/account/phone", s.removePhone),
		"GET /account/phone/remove":      to("/account/phone"),
		"GET /account/sessions":          s.visited("/account/sessions", s.sessionsPage),
		"POST /account/sessions/end":     s.change("/account/sessions", s.endSession),
		"GET /account/sessions/end":      to("/account/sessions"),
		"POST /account/sessions/end-all": s.change("/account/sessions", s.endSessions),
		"GET /account/sessions/end-all":  to("/account/sessions"),
		"GET /account/sign-ins":          s.visited("/account/sign-ins", s.signInsPage),
	}
}

// A visit is one request for an account page by somebody who is signed in.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	b       browser
	session string
	here    string // the page that it is about
}

// visited lets who is signed in through to next, and sends others to sign in and come back.
func (s *Pages) visited(here string, next func(visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, ok := s.cfg.Visitor(r)
		if !ok {
			s.cfg.SignIn(w, r, here, false)
			return
		}
		v := visit{w: w, r: r, b: s.meet(w, r), session: session, here: here}
		if r.Method == http.MethodPost && !s.signed("visitor", v.b.id+" "+session, r.PostForm.Get("visitor")) {
			http.Redirect(w, r, here, http.StatusSeeOther) // somebody else has signed in since the form was shown
			return
		}
		next(v)
	}
}

// trouble answers for what the account did not do.
func (s *Pages) trouble(v visit, err error) {
	var weak *WeakPasswordError
	switch {
	case errors.Is(err, ErrSignedOut):
		s.cfg.SignIn(v.w, v.r, v.here, false)
	case errors.Is(err, ErrStepUp):
		s.cfg.SignIn(v.w, v.r, v.here, true)
	case errors.Is(err, ErrWrongPassword):
		s.toAccount(v, v.here, "account.wrong")
	case errors.Is(err, ErrTooMany):
		s.toAccount(v, v.here, "tooManyRequests")
	case errors.Is(err, ErrNoPhone):
		s.toAccount(v, v.here, "account.phone.gone")
	case errors.Is(err, ErrNoSuchSession):
		s.toAccount(v, v.here, "account.sessions.gone")
	case errors.As(err, &weak):
		s.toAccount(v, v.here, "account.weak."+string(weak.Why))
	default:
		s.log.Error("signin: the account did not answer", "error", err)
		pg := s.page(v.r)
		pg.Message = &message{Icon: "alert", Bad: true, Title: pg.T("busy.title"), Lead: []string{pg.T("busy.lead")},
			Href: v.here, Label: pg.T("action.retry")}
		v.w.Header().Set("Retry-After", "2")
		s.render(v.w, http.StatusServiceUnavailable, pg)
	}
}

// toAccount sends the browser to an account page that says what became of its form. What it says is one of our texts, and
// signed for this browser: no link from elsewhere makes the page claim that a password was changed.
func (s *Pages) toAccount(v visit, path, said string) {
	q := url.Values{"said": {said}, "by": {s.sign("said", v.b.id+" "+path+" "+said)}}
	http.Redirect(v.w, v.r, path+"?"+q.Encode(), http.StatusSeeOther)
}

// goodNews are the texts of what was done; all others say why something was not.
var goodNews = []string{"account.password.changed", "account.phone.removed", "account.sessions.ended"}

// account draws an account page.
func (s *Pages) account(v visit, make func(*page) *accountPage) {
	pg := s.page(v.r)
	pg.CSRF = s.csrf(v.b)
	pg.Account = make(pg)
	pg.Account.Visitor = s.sign("visitor", v.b.id+" "+v.session)
	if said := v.r.URL.Query().Get("said"); pg.has(said) && s.signed("said", v.b.id+" "+v.here+" "+said, v.r.URL.Query().Get("by")) {
		pg.Failed = !slices.Contains(goodNews, said)
		if field := pg.Account.field(said); field != nil {
			field.Error, field.Focus = pg.T(said, field.Min), true
		} else {
			pg.Notices, pg.FocusNotice = []string{pg.T(said)}, pg.Failed
		}
	}
	for i := range pg.Account.Fields {
		if f := &pg.Account.Fields[i]; !pg.Failed && i == 0 {
			f.Focus = true
		}
	}
	s.render(v.w, http.StatusOK, pg)
}

// field is the one that a message is about, or nil.
func (a *accountPage) field(said string) *field {
	name := ""
	switch {
	case said == "account.wrong", said == "account.need.current":
		name = "v.current"
	case strings.HasPrefix(said, "account.weak."), said == "account.need.next":
		name = "v.next"
	}
	if i := slices.IndexFunc(a.Fields, func(f field) bool { return f.Name == name }); i >= 0 {
		return &a.Fields[i]
	}
	return nil
}

func (s *Pages) overview(v visit) {
	who, err := s.cfg.Account.Profile(v.r.Context(), v.session)
	if err != nil {
		s.trouble(v, err)
		return
	}
	s.account(v, func(p *page) *accountPage {
		a := &accountPage{Title: p.T("account.title"), Links: []link{
			{"/account/password", "password", p.T("account.password.title"), p.T("account.password.about")},
			{"/account/phone", "phone", p.T("account.phone.title"), p.T("account.phone.about")},
			{"/account/sessions", "app", p.T("account.sessions.title"), p.T("account.sessions.about")},
			{"/account/sign-ins", "clock", p.T("account.signins.title"), p.T("account.signins.about")},
		}}
		for _, f := range []fact{
			{p.T("profile.name"), who.Name}, {p.T("profile.username"), who.Username}, {p.T("profile.email"), who.Email}, {p.T("profile.phone"), hint(who.Phone)},
		} {
			if f.Value != "" {
				a.Facts = append(a.Facts, f)
			}
		}
		return a
	})
}

func (s *Pages) passwordPage(v visit) {
	who, err := s.cfg.Account.Profile(v.r.Context(), v.session)
	if err == nil && !who.Fresh {
		err = ErrStepUp // now, and not when both passwords are typed
	}
	if err != nil {
		s.trouble(v, err)
		return
	}
	s.account(v, func(p *page) *accountPage {
		secret := func(name, label, complete string) field {
			return field{ID: "f-" + name, Name: "v." + name, Kind: "password", Label: label, Required: true, Autocomplete: complete,
				Show: p.T("action.show"), Hide: p.T("action.hide"), ShowLabel: p.T("action.show.label"), HideLabel: p.T("action.hide.label")}
		}
		next := secret("next", p.T("label.New password"), "new-password")
		next.Min = strconv.Itoa(max(who.PasswordMin, 8))
		next.Hint = p.T("account.password.hint", next.Min)
		return &accountPage{Title: p.T("account.password.title"), Submit: p.T("account.password.submit"), User: who.Username, Back: p.T("account.back"),
			Fields: []field{secret("current", p.T("account.password.current"), "current-password"), next}}
	})
}

func (s *Pages) changePassword(v visit) {
	current, next := v.r.PostForm.Get("v.current"), v.r.PostForm.Get("v.next")
	switch {
	case current == "":
		s.toAccount(v, v.here, "account.need.current")
		return
	case next == "":
		s.toAccount(v, v.here, "account.need.next")
		return
	}
	value, err := s.cfg.Account.ChangePassword(v.r.Context(), v.session, current, next)
	if err != nil {
		s.trouble(v, err)
		return
	}
	s.cfg.Renew(v.w, value)
	s.toAccount(v, "/account", "account.password.changed")
}

// change is a form that changes the account. The same one, sent twice, is one change, which is finished when nobody waits
// for it any more. That is seen before it is asked who sent it: what the first one changed may be the session's value, and
// the second still comes with the one from before. It is told the same, for it is the same page from the same browser.
func (s *Pages) change(here string, do func(visit)) http.HandlerFunc {
	next := s.visited(here, do)
	return s.guarded(func(w http.ResponseWriter, r *http.Request) {
		s.flights.once(s.meet(w, r).id+r.URL.Path+digest(r.PostForm.Encode()), w, func(w http.ResponseWriter) {
			ctx, cancel := patient(r.Context())
			defer cancel()
			next(w, r.WithContext(ctx))
		})
	})
}

// phonePage shows the phone, and how another one takes its place.
func (s *Pages) phonePage(v visit) {
	who, err := s.cfg.Account.Profile(v.r.Context(), v.session)
	if err == nil && !who.Fresh {
		err = ErrStepUp
	}
	if err != nil {
		s.trouble(v, err)
		return
	}
	s.account(v, func(p *page) *accountPage {
		a := &accountPage{Title: p.T("account.phone.title"), Back: p.T("account.back")}
		if who.Phone == "" {
			a.Empty = p.T("account.phone.none")
			a.Links = []link{{s.cfg.ChangePhone, "phone", p.T("account.phone.add"), p.T("account.phone.how")}}
			return a
		}
		a.Rows = []row{{Title: hint(who.Phone), About: p.T("account.phone.sms"), ID: "phone", End: "/account/phone/remove", EndLabel: p.T("account.phone.remove")}}
		a.Links = []link{{s.cfg.ChangePhone, "phone", p.T("account.phone.replace"), p.T("account.phone.how")}}
		return a
	})
}

func (s *Pages) removePhone(v visit) {
	value, err := s.cfg.Account.RemovePhone(v.r.Context(), v.session)
	if err != nil {
		s.trouble(v, err)
		return
	}
	s.cfg.Renew(v.w, value)
	s.toAccount(v, "/account", "account.phone.removed")
}

func (s *Pages) sessionsPage(v visit) {
	all, err := s.cfg.Account.Sessions(v.r.Context(), v.session)
	var who Profile
	if err == nil {
		who, err = s.cfg.Account.Profile(v.r.Context(), v.session)
	}
	if err != nil {
		s.trouble(v, err)
		return
	}
	s.account(v, func(p *page) *accountPage {
		a := &accountPage{Title: p.T("account.sessions.title"), All: p.T("account.sessions.all"), Back: p.T("account.back")}
		for _, one := range all {
			r := row{Title: p.agent(one.Agent), About: join(one.Address, p.T("account.sessions.seen", clock(one.Seen, who.Zone))), ID: one.ID,
				End: "/account/sessions/end", EndLabel: p.T("account.sessions.end")}
			if one.Current {
				r.About = join(p.T("account.sessions.current"), one.Address)
			}
			a.Rows = append(a.Rows, r)
		}
		return a
	})
}

func (s *Pages) endSession(v visit) {
	id := v.r.PostForm.Get("session")
	if err := s.cfg.Account.EndSession(v.r.Context(), v.session, id); err != nil {
		s.trouble(v, err)
		return
	}
	if id == v.session {
		http.Redirect(v.w, v.r, s.base+"/signed-out", http.StatusSeeOther)
		return
	}
	s.toAccount(v, v.here, "account.sessions.ended")
}

func (s *Pages) endSessions(v visit) {
	if err := s.cfg.Account.EndSessions(v.r.Context(), v.session); err != nil {
		s.trouble(v, err)
		return
	}
	http.Redirect(v.w, v.r, s.base+"/signed-out", http.StatusSeeOther)
}

func (s *Pages) signInsPage(v visit) {
	all, err := s.cfg.Account.SignIns(v.r.Context(), v.session)
	var who Profile
	if err == nil {
		who, err = s.cfg.Account.Profile(v.r.Context(), v.session)
	}
	if err != nil {
		s.trouble(v, err)
		return
	}
	s.account(v, func(p *page) *accountPage {
		a := &accountPage{Title: p.T("account.signins.title"), Empty: p.T("account.signins.none"), Back: p.T("account.back")}
		for _, one := range all {
			a.Rows = append(a.Rows, row{Title: cmp.Or(one.App, p.App), About: join(clock(one.At, who.Zone), p.agent(one.Agent), one.Address)})
		}
		return a
	})
}

// join puts what there is into one line.
func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

// clock writes a time where the person lives, in a way that nobody misreads.
func clock(t time.Time, zone string) string {
	where, err := time.LoadLocation(zone)
	if err != nil {
		where = time.UTC
	}
	return t.In(where).Format("2006-01-02 15:04 MST")
}

// What browsers call themselves, and on what; the first that fits. All claim to be others as well, so the order matters.
var (
	browserNames = [][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"}}
	systemNames = [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// agent is a browser in two words, as far as it can be told; whoever lies in it is only shown to themselves.
func (p *page) agent(userAgent string) string {
	find := func(names [][2]string) string {
		for _, n := range names {
			if strings.Contains(userAgent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	switch name, system := find(browserNames), find(systemNames); {
	case name != "" && system != "":
		return p.T("account.agent", name, system)
	case name+system != "":
		return name + system
	}
	return p.T("account.agent.unknown")
}
