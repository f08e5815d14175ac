package signin

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates are the layouts that every page is one of. What varies between, say, the phone and the code page is
// data, so that a step nobody foresaw looks like all others.
var templates = map[string]*template.Template{
	"step":    parse("step"),
	"message": parse("message"),
	"profile": parse("profile"),
	"account": parse("account"),
}

func parse(name string) *template.Template {
	return template.Must(template.New(name).ParseFS(templateFiles, "templates/layout.html", "templates/fields.html", "templates/"+name+".html"))
}

// A page is what the templates see. Exactly one of Form, Message, Profile and Account is set.
type page struct {
	tongue
	App, Base   string
	Title       string
	CSRF, Ref   string
	Number      string   // no other page has it: see flights
	Who         string   // who is signing in, once it is known
	Notices     []string // what the page has to say beyond its form
	Failed      bool     // and whether that is bad news
	FocusNotice bool     // nothing else on the page wants the focus

	Form    *form
	Message *message
	Profile *profile
	Account *accountPage

	assets map[string]string
}

// Asset is the address of a file that belongs to the pages.
func (p *page) Asset(name string) string { return p.assets[name] }

// A form is one step of a sign-in.
type form struct {
	Title, Submit string
	Lead          *lead
	Step, Do      string // what the engine calls the step, and what to do with it if not answer it
	Pick          string // the option that the form answers to, where it was picked before
	View          string // what was asked for to be shown, if not the step that the engine is at
	Fields        []field
	Ways          []way  // a list to pick from takes the place of the submit button
	Redirect      string // so does an address to go to
	Again         int    // seconds after which a form that only waits sends itself
	QR            template.URL
	SetupKey      string
	More          []action
}

// Secret tells whether a password is asked for, so that the password manager can be told whose.
func (f *form) Secret() bool {
	return slices.ContainsFunc(f.Fields, func(f field) bool { return f.Kind == "password" })
}

// A lead is a sentence with something in it that stands out, such as a phone number.
type lead struct{ Before, Strong, After string }

// leading splits the text for key at {0}.
func (t tongue) leading(key, strong string) *lead {
	before, after, found := strings.Cut(t.T(key), "{0}")
	if !found {
		strong = ""
	}
	return &lead{before, strong, after}
}

// A field is one value a person gives.
type field struct {
	ID, Name, Kind          string // Kind is an input type, or code, check, choice, fixed
	Label, Value            string
	Hint, Error             string
	Autocomplete, InputMode string
	MaxLength               int
	Min                     string // of a new password, how many characters; for what is said of it
	Required, Checked       bool
	Focus                   bool
	NoticeToo               bool // the notice at the top is about this field
	Options                 []choice

	Show, Hide, ShowLabel, HideLabel string // of a password
}

// Describes are the ids of the texts about the field.
func (f field) Describes() string {
	var ids []string
	if f.NoticeToo {
		ids = append(ids, "notice")
	}
	if f.Error != "" {
		ids = append(ids, f.ID+"-wrong")
	}
	if f.Hint != "" {
		ids = append(ids, f.ID+"-hint")
	}
	return strings.Join(ids, " ")
}

// A choice is one of several values, some of which ask for more.
type choice struct {
	ID, Name, Value, Label string
	Checked, Focus         bool
	Fields                 []field
}

// A way is one authenticator in the list.
type way struct{ Token, Label, About, Icon string }

// An action is a quieter way on: a text, a link, or a form that asks for one thing.
type action struct {
	Text, Label, Href string
	Step, Do          string
	Wait              int    // seconds until it makes sense
	Waiting           string // what it says until then
}

// A message is a page that only says something.
type message struct {
	Icon, Title string
	Bad         bool
	Lead        []string
	Href, Label string // where to go on
	New         string // what the button says that starts a new sign-in
	Detail      string // for whoever can do something about it
}

// A profile is who is signed in.
type profile struct {
	Name  string
	Facts []fact
	Href  string
}

type fact struct{ Label, Value string }

// render writes p. The page is built whole first: half a page with status 200 would be worse than an error.
func (s *Pages) render(w http.ResponseWriter, status int, p *page) {
	name := "message"
	switch {
	case p.Form != nil:
		name, p.Title = "step", p.Form.Title
	case p.Profile != nil:
		name, p.Title = "profile", p.T("profile.title")
	case p.Account != nil:
		name, p.Title = "account", p.Account.Title
	default:
		p.Title = p.Message.Title
	}
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, "layout", p); err != nil {
		s.log.Error("signin: page not drawn", "page", name, "error", err)
		http.Error(w, "500 Internal Server Error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// headers are those of S-43. They stand on every answer of the pages, whatever it is.
func (s *Pages) headers(h http.Header) {
	h.Set("Content-Security-Policy", s.csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Language, Cookie")
	if s.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
