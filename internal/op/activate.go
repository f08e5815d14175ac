package op

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"latchkey.dev/internal/device"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
)

// The pages on which somebody lets a device in: one for the code, one that says what waits behind it. A code that
// comes in the address is only filled in: what is asked for is always shown, and nothing is allowed without a click,
// for whoever sent the link may be the one who wants to get in (RFC 8628 5.4).

// activation is where they are. People type it.
const activation = "/activate"

var activateTemplate = sheet("activate", activateStyle, "", `{{with .Problem}}<p role="alert"><strong>{{.}}</strong></p>
{{end}}{{range .Text}}<p>{{.}}</p>
{{end}}{{with .Scopes}}<ul>
{{range .}}<li>{{.}}</li>
{{end}}</ul>
{{end}}{{with .SignIn}}<p><a href="{{.}}">{{$.T "`+string(msg.DeviceSignIn)+`"}}</a></p>
{{end}}{{if .Form}}<form method="post" action="`+activation+`">
<input type="hidden" name="form" value="{{.Form}}">
{{if .Decide}}<input type="hidden" name="user_code" value="{{.Code}}">
<p><button name="answer" value="continue">{{.T "`+string(msg.PageContinue)+`"}}</button> <button name="answer" value="deny">{{.T "`+string(msg.DeviceDeny)+`"}}</button></p>
{{else}}<p><label for="user_code">{{.T "`+string(msg.DeviceCode)+`"}}</label>
<input id="user_code" name="user_code" value="{{.Code}}" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="16" required autofocus></p>
<p><button>{{.T "`+string(msg.PageContinue)+`"}}</button></p>
{{end}}</form>
{{end}}</main>
`)

const activateStyle = pageStyle + `input{letter-spacing:.1em;text-transform:uppercase}`

// activatePolicy lets the forms go to us and nowhere else.
var activatePolicy = "default-src 'none'; style-src " + hashOf(activateStyle) + "; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// An activating is what a page of these shows.
type activating struct {
	tongue
	Title, Problem string
	Text, Scopes   []string
	Code           string // as it is shown
	Form           string
	Decide         bool
	SignIn         string
	status         int
	set            []*http.Cookie
}

func (p activating) reply() (reply, error) {
	answer := drawn(p.tongue, p.status, activateTemplate, p)
	answer.policy, answer.set = activatePolicy, p.set
	return answer, nil
}

// activate serves both pages.
func (a *API) activate(c *call) (reply, error) {
	if !a.letsDevicesIn() {
		return reply{}, errNotFound
	}
	r, p, t := c.Request, c.params, c.speaks()
	code, valid := device.Fold(p["user_code"])
	if r.Method == http.MethodPost && !a.ownForm(c, p["form"], p["user_code"], p["answer"]) {
		return activating{tongue: t, Title: t.T(msg.PageBroken), Problem: t.T(msg.DeviceStale),
			Text: []string{t.T(msg.DeviceRetype, a.Origin+activation)}, status: http.StatusForbidden}.reply()
	}
	back := activation
	if valid {
		back += "?" + url.Values{"user_code": {device.Show(code)}}.Encode()
	}
	who, ok, err := a.who(c)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{status: http.StatusSeeOther, to: signInHere(back, "")}, nil
	}
	if r.Method != http.MethodPost {
		return a.askCode(c, code, valid)
	}
	if err := a.typed(r.Context(), who); err != nil {
		return reply{}, err
	}
	if !valid {
		return a.wrongCode(c)
	}
	waiting, err := a.Devices.Look(r.Context(), code, who)
	deny := p["answer"] == "deny"
	switch {
	case errors.Is(err, device.ErrUnknown):
		return a.wrongCode(c)
	case errors.Is(err, device.ErrWeak) && !deny:
		return activating{tongue: t, Title: t.T(msg.DeviceMore, waiting.Client.Label), Text: []string{t.T(msg.DeviceMoreText)},
			SignIn: signInHere(back, waiting.Client.ID)}.reply()
	case err != nil && !errors.Is(err, device.ErrWeak):
		return reply{}, err
	case p["answer"] == "":
		form, set := a.newForm(c, device.Show(code))
		return activating{tongue: t, set: set, Title: t.T(msg.DeviceAsk, waiting.Client.Label), Text: []string{t.T(msg.DeviceAskText, device.Show(code))},
			Scopes: t.inWords(waiting.Scopes), Code: device.Show(code), Decide: true, Form: form, Problem: t.T(msg.DeviceWarning)}.reply()
	}
	err = a.Devices.Decide(r.Context(), code, who, !deny)
	switch {
	case errors.Is(err, device.ErrUnknown):
		return a.wrongCode(c)
	case err != nil:
		return reply{}, err
	case deny:
		return activating{tongue: t, Title: t.T(msg.DeviceOut), Text: []string{t.T(msg.DeviceOutText)}}.reply()
	}
	return activating{tongue: t, Title: t.T(msg.DeviceIn), Text: []string{t.T(msg.DeviceInText)}}.reply()
}

// codePage asks for the code.
func (a *API) codePage(c *call) activating {
	t := c.speaks()
	form, set := a.newForm(c, "")
	return activating{tongue: t, Title: t.T(msg.DeviceTitle), Text: []string{t.T(msg.DeviceText)}, Form: form, set: set}
}

func (a *API) askCode(c *call, code secret.Text, valid bool) (reply, error) {
	p := a.codePage(c)
	if valid {
		p.Code = device.Show(code)
	}
	return p.reply()
}

func (a *API) wrongCode(c *call) (reply, error) {
	p := a.codePage(c)
	p.Problem, p.status = p.T(msg.DeviceWrong), http.StatusBadRequest
	return p.reply()
}

var scopeTexts = map[string]msg.Key{
	oauth.ScopeOpenID: msg.ScopeOpenID, oauth.ScopeProfile: msg.ScopeProfile, oauth.ScopeEmail: msg.ScopeEmail,
	oauth.ScopePhone: msg.ScopePhone, oauth.ScopeGroups: msg.ScopeGroups, oauth.ScopeOffline: msg.ScopeOffline,
}

// inWords says what scopes mean. One that an operator made up is shown as it is: its name is all that we know.
func (t tongue) inWords(scopes []string) (all []string) {
	for _, s := range scopes {
		if k, ok := scopeTexts[s]; ok {
			s = t.T(k)
		}
		all = append(all, s)
	}
	return all
}

// typed counts a code by the person who typed it, and by where from: eight letters could be guessed by whoever has
// enough tries.
func (a *API) typed(ctx context.Context, who device.Person) error {
	if a.CountCode == nil {
		return nil
	}
	for _, what := range []string{"user " + string(who.User), "source " + limit.Source(obs.SourceOf(ctx).Address)} {
		reading, err := a.CountCode(ctx, what)
		if err != nil {
			return err
		}
		if !reading.OK {
			return &refusal{
				said:   &oauth.Error{Code: oauth.TemporarilyUnavailable, Description: "Too many codes were typed. Wait a few minutes."},
				status: http.StatusTooManyRequests, retry: max(reading.Reset, time.Second), limit: reading.Limit,
			}
		}
	}
	return nil
}

// A form is ours if it comes back with what the browser that got it holds in a cookie (S-41). The cookie is of these
// pages alone and says nothing of who is signed in; a form is good for one code, so that what was asked is what is answered.
const formCookie = "activate"

// newForm returns what a form carries, and the cookie if the browser has none.
func (a *API) newForm(c *call, code string) (form string, set []*http.Cookie) {
	value := a.cookieIn(c, formCookie)
	if len(value) != 43 {
		value = secret.Random()
		set = []*http.Cookie{a.cookie(formCookie, value, 3600)}
	}
	return formValue(value, code), set
}

func formValue(cookie secret.Text, code string) string {
	d := secret.DigestOf("activation form", cookie.Reveal()+" "+code)
	return base64.RawURLEncoding.EncodeToString(d[:])
}

// ownForm judges a form that was posted. One without an answer is that of the first page.
func (a *API) ownForm(c *call, form, code, answer string) bool {
	if !a.sameOrigin(c) {
		return false
	}
	if answer == "" {
		code = ""
	}
	cookie := a.cookieIn(c, formCookie)
	if len(cookie) != 43 {
		return false
	}
	// Both are digests of 256 random bits: the time that comparing takes tells nothing of use.
	return form == formValue(cookie, code) && (answer == "" || answer == "continue" || answer == "deny")
}

// sameOrigin believes Sec-Fetch-Site, which no page can forge. The Origin of a form says null because of our
// Referrer-Policy (Fetch, "append a request Origin header"), so that without the other what the form carries decides.
func (a *API) sameOrigin(c *call) bool {
	if site := c.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin := c.Header.Get("Origin")
	return origin == "" || origin == "null" || origin == a.Origin
}
