package signin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"latchkey.dev/idx"
)

// What the pages may be asked to show instead of the engine's first step: a list to pick another way from, and the phone
// number page while a code is awaited. Both are links, so that nothing is lost by looking.
const (
	viewChoose = "choose"
	viewNumber = "number"
)

// A draft is a form in the making.
type draft struct {
	tongue
	app  string
	note note
	tx   *idx.Transaction
	step *idx.NextStep
	form *form

	remember bool // show "Remember this device"
}

// draw makes the form for where tx stands. It is nil if there is nothing to show.
func (s *Pages) draw(t tongue, p parked, tx *idx.Transaction, view string) *form {
	d := &draft{tongue: t, app: s.cfg.AppName, note: p.note, tx: tx, step: tx.NextStep(), remember: s.cfg.RememberDevice}
	if d.step == nil {
		return nil
	}
	main := d.step
	d.form = &form{Step: d.step.Name}
	choose := d.chooser()
	switch {
	case view == viewNumber && d.numberAgain(choose):
		d.back(s.base + "/" + p.ref)
		return d.form
	case view == viewChoose && choose != nil && choose.Name != main.Name:
		d.step, d.form.Step = choose, choose.Name
		d.list()
		d.back(s.base + "/" + p.ref)
		return d.form
	case strings.HasPrefix(d.step.Name, "select-authenticator-"):
		d.list()
	case d.step.Redirect != nil:
		d.form.Title, d.form.Submit, d.form.Redirect = d.T("form.title"), d.with(d.step), d.step.Redirect.String()
	default:
		d.ask()
	}
	d.more(choose, s.base+"/"+p.ref, s.now(), s.cfg.ResendAfter)
	if p.note.Back != "" {
		d.form.More = append(d.form.More, action{Label: d.T("action.back.app", cmp.Or(p.note.App, tx.App(), d.app)), Href: p.note.Back})
	}
	return d.form
}

// chooser is the step that offers other authenticators, if the engine lists one.
func (d *draft) chooser() *idx.NextStep {
	for _, step := range d.tx.Steps() {
		if strings.HasPrefix(step.Name, "select-authenticator-") {
			return step
		}
	}
	return nil
}

// optionsOf is the input of a step that has authenticators to pick from.
func optionsOf(step *idx.NextStep) (path string, in idx.Input, ok bool) {
	for path, in := range step.Fields() {
		if len(in.Options) > 0 && slices.ContainsFunc(in.Options, func(o idx.Option) bool { return o.Authenticator != nil || len(o.Inputs) > 0 }) {
			return path, in, true
		}
	}
	return "", idx.Input{}, false
}

// list lets the person pick an authenticator.
func (d *draft) list() {
	kind := "choose.verify"
	if strings.Contains(d.step.Name, "enroll") {
		kind = "choose.enroll"
	}
	d.form.Title, d.form.Lead = d.T(kind+".title"), d.leading(kind+".lead", "")
	_, in, _ := optionsOf(d.step)
	for _, o := range in.Options {
		w := way{Token: token(o), Label: o.Label}
		if a := o.Authenticator; a != nil {
			w.Icon = a.Type
			w.Label = d.or("authenticator."+a.Key, cmp.Or(o.Label, a.Name))
			w.About = cmp.Or(hint(a.Hint), d.or("about."+a.Key, ""))
		}
		d.form.Ways = append(d.form.Ways, w)
	}
}

// token names an option in a form, by what picking it would send: it stays the same when the list is sorted anew.
func token(o idx.Option) string {
	b, _ := json.Marshal(map[string]any(o.Choose(nil)))
	sum := sha256.Sum256(append(append(b, 0), o.Label...))
	return hex.EncodeToString(sum[:8])
}

// numberAgain shows the phone number page from the option that takes a number, while the engine waits for a code.
func (d *draft) numberAgain(choose *idx.NextStep) bool {
	o, ok := numberOption(choose)
	if !ok {
		return false
	}
	d.step, d.form.Step, d.form.Pick, d.form.View = choose, choose.Name, token(o), viewNumber
	for path, in := range leaves(o.Inputs, "") {
		d.field(path, in)
	}
	d.phoneWords(o.Inputs)
	d.focus()
	return true
}

// numberOption is the way of enrolling a phone that takes the number at once.
func numberOption(choose *idx.NextStep) (idx.Option, bool) {
	if choose == nil {
		return idx.Option{}, false
	}
	_, in, _ := optionsOf(choose)
	for _, o := range in.Options {
		if slices.ContainsFunc(o.Inputs, func(in idx.Input) bool { return in.Name == "phoneNumber" }) {
			return o, true
		}
	}
	return idx.Option{}, false
}

// ask draws a step's own fields, and finds the words for it.
func (d *draft) ask() {
	step := d.step
	for path, in := range step.Fields() {
		d.field(path, in)
	}
	f := d.form
	f.Title, f.Submit = d.T("form.title"), d.T("form.submit")
	kind := ""
	if step.Authenticator != nil {
		kind = step.Authenticator.Type
	}
	switch {
	case step.Name == "identify":
		f.Title, f.Lead, f.Submit = d.T("signin.title"), d.leading("signin.lead", d.tx.App()), d.T("signin.next")
		if f.Secret() {
			f.Submit = d.T("signin.submit")
		}
		if d.tx.App() == "" || d.tx.App() == d.app { // the top of the page names it already
			f.Lead = nil
		}
	case step.Name == "authenticator-enrollment-data" && kind == "phone":
		d.phoneWords(step.Inputs)
	case step.Name == "authenticator-verification-data":
		d.sendWords(step)
	case step.Name == "challenge-authenticator" && kind == "password":
		f.Title, f.Submit = d.T("password.title"), d.T("password.submit")
	case slices.ContainsFunc(f.Fields, func(f field) bool { return f.Autocomplete == "one-time-code" }):
		f.Title, f.Submit = d.T("code.title"), d.T("code.submit")
		f.Lead = d.codeLead(kind)
	}
	d.challenge(step.Authenticator)
	if len(f.Fields) == 0 && slices.ContainsFunc(step.Inputs, beyond) {
		f.Lead, f.Submit = d.leading("form.beyond", ""), ""
	}
	if step.PollEvery > 0 && len(f.Fields) == 0 {
		f.Do, f.Again, f.Submit = "poll", max(1, int(step.PollEvery/time.Second)), d.T("form.again")
	}
	d.focus()
}

// beyond tells whether an input is one that no person can fill: the answer of a security key, for instance.
func beyond(in idx.Input) bool {
	return in.Hidden && !in.ReadOnly && in.Required && in.Default == nil || slices.ContainsFunc(in.Inputs, beyond)
}

// codeLead says where the code is to be found.
func (d *draft) codeLead(kind string) *lead {
	if kind == "app" {
		return d.leading("code.app", "")
	}
	if kind != "phone" && kind != "email" {
		return nil
	}
	to := d.note.To
	if d.step.Authenticator.Hint != "" {
		to = hint(d.step.Authenticator.Hint)
	}
	if to == "" {
		return d.leading("code.sent.nowhere", "")
	}
	return d.leading("code.sent", to)
}

// phoneWords are those of the page that asks for a number.
func (d *draft) phoneWords(inputs []idx.Input) {
	f := d.form
	f.Title, f.Submit, f.Lead = d.T("phone.title"), d.T("send.submit"), d.leading("phone.lead", "")
	if only := onlyMethod(inputs); d.has("phone.lead." + only) {
		f.Lead = d.leading("phone.lead."+only, "")
	}
}

// sendWords are those of the page before a code is sent to something enrolled.
func (d *draft) sendWords(step *idx.NextStep) {
	f := d.form
	f.Title, f.Submit = d.T("send.title"), d.T("send.submit")
	to, key := "", "send.other"
	if a := step.Authenticator; a != nil {
		to = hint(a.Hint)
		if a.Type == "email" {
			key = "send.email"
		}
	}
	if only := onlyMethod(step.Inputs); d.has("send." + only) {
		key = "send." + only
	}
	if f.Lead = d.leading(key, to); to == "" {
		f.Lead = d.leading("send.nowhere", "")
	}
}

// onlyMethod is the method of a step that leaves no choice.
func onlyMethod(inputs []idx.Input) string {
	for path, in := range leaves(inputs, "") {
		if last(path) == "methodType" && len(in.Options) == 1 {
			return fmt.Sprint(in.Options[0].Value)
		}
	}
	return ""
}

// leaves are the inputs that a person or a page fills, by dotted path; what the engine fixed is left out.
func leaves(inputs []idx.Input, prefix string) func(yield func(string, idx.Input) bool) {
	return func(yield func(string, idx.Input) bool) {
		for _, in := range inputs {
			switch {
			case in.Hidden || in.ReadOnly:
			case len(in.Inputs) > 0 && len(in.Options) == 0:
				for path, leaf := range leaves(in.Inputs, prefix+in.Name+".") {
					if !yield(path, leaf) {
						return
					}
				}
			case !yield(prefix+in.Name, in):
				return
			}
		}
	}
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// field adds the field for one input.
func (d *draft) field(path string, in idx.Input) {
	if in.ReadOnly || in.Hidden || last(path) == "rememberMe" && !d.remember {
		return
	}
	d.form.Fields = append(d.form.Fields, d.fieldFor(path, in))
}

func (d *draft) fieldFor(path string, in idx.Input) field {
	f := field{ID: "f-" + strings.ReplaceAll(path, ".", "-"), Name: "v." + path, Kind: "text", Required: in.Required,
		Label: d.or("label."+in.Label, cmp.Or(in.Label, in.Name)), MaxLength: in.MaxLength}
	if v, ok := in.Default.(string); ok && !in.Secret {
		f.Value = v
	}
	switch name := last(path); {
	case len(in.Options) > 0:
		d.choice(&f, in)
	case in.Type == "boolean":
		f.Kind, f.Checked = "check", in.Default == true
		if name == "rememberMe" {
			f.Checked = d.note.Remember || f.Checked
		}
	case d.oneTime(name):
		f.Kind, f.Autocomplete, f.InputMode, f.Value = "text", "one-time-code", "numeric", ""
		if d.sixDigits() {
			f.Kind, f.Label = "code", d.T("label.Enter code")
		}
	case in.Secret:
		f.Kind, f.Autocomplete, f.Value = "password", "current-password", ""
		if d.step.Name != "identify" && d.step.Name != "challenge-authenticator" {
			f.Autocomplete = "new-password"
		}
		f.Show, f.Hide = d.T("action.show"), d.T("action.hide")
		f.ShowLabel, f.HideLabel = d.T("action.show.label"), d.T("action.hide.label")
	case name == "identifier":
		f.Autocomplete, f.Value = "username", cmp.Or(d.note.Username, f.Value)
	case name == "phoneNumber":
		f.Kind, f.Autocomplete, f.InputMode = "tel", "tel", "tel"
		f.Value, f.Hint = d.note.Phone, d.T("phone.hint")
	case name == "email":
		f.Kind, f.Autocomplete, f.InputMode = "email", "email", "email"
	}
	return f
}

// oneTime tells whether an input of this name takes a code.
func (d *draft) oneTime(name string) bool {
	if !slices.Contains([]string{"passcode", "totp", "otp", "verificationCode", "nextPasscode"}, name) {
		return false
	}
	return d.step.Authenticator != nil && d.step.Authenticator.Type != "password"
}

func (d *draft) sixDigits() bool {
	return slices.Contains([]string{"phone", "email", "app"}, d.step.Authenticator.Type)
}

// choice draws options: none to pick if there is only one, else radio buttons with what each of them asks for.
func (d *draft) choice(f *field, in idx.Input) {
	f.Kind = "choice"
	if last(f.Name) == "methodType" {
		f.Label = d.T("phone.method")
	}
	if len(in.Options) == 1 && len(in.Options[0].Inputs) == 0 && in.Required {
		f.Kind, f.Value = "fixed", optionValue(in.Options[0])
		return
	}
	if len(in.Options) == 1 && last(f.Name) == "methodType" { // optional only because the list can be answered without
		f.Kind, f.Value = "fixed", optionValue(in.Options[0])
		return
	}
	for i, o := range in.Options {
		c := choice{ID: fmt.Sprintf("%s-%d", f.ID, i), Name: f.Name, Value: optionValue(o), Label: o.Label}
		c.Label = d.or("method."+c.Value, d.or("label."+o.Label, o.Label))
		if o.Authenticator != nil {
			c.Label = d.or("authenticator."+o.Authenticator.Key, o.Label)
		}
		c.Checked = f.Value == c.Value || f.Value == "" && i == 0 && in.Required
		for path, sub := range leaves(o.Inputs, "") {
			c.Fields = append(c.Fields, d.fieldFor(strings.TrimPrefix(f.Name, "v.")+"."+c.Value+"."+path, sub))
		}
		f.Options = append(f.Options, c)
	}
}

// optionValue names an option in a radio button.
func optionValue(o idx.Option) string {
	switch v := o.Value.(type) {
	case string, bool, float64, json.Number, int:
		return fmt.Sprint(v)
	}
	return token(o)
}

// challenge shows what an authenticator needs to be seen: the QR code and key of an authenticator app, a question.
func (d *draft) challenge(a *idx.Authenticator) {
	if a == nil || len(a.Challenge) == 0 {
		return
	}
	var c struct {
		QRCode struct {
			Href string `json:"href"`
		} `json:"qrcode"`
		SharedSecret     string `json:"sharedSecret"`
		EnrolledQuestion struct {
			Question string `json:"question"`
		} `json:"enrolledQuestion"`
	}
	if json.Unmarshal(a.Challenge, &c) != nil {
		return
	}
	if strings.HasPrefix(c.QRCode.Href, "data:image/png;base64,") {
		d.form.QR = template.URL(c.QRCode.Href)
	}
	d.form.SetupKey = c.SharedSecret
	if q := c.EnrolledQuestion.Question; q != "" {
		d.form.Lead = &lead{Before: q}
	}
}

// focus puts the cursor where the next thing is to be typed: the first field that is still empty.
func (d *draft) focus() {
	for i := range d.form.Fields {
		f := &d.form.Fields[i]
		if f.Kind != "fixed" && f.Kind != "check" && f.Kind != "choice" && f.Value == "" {
			f.Focus = true
			return
		}
	}
}

// more adds the quieter ways on: another code, another number, another method, skip, and doors beside the sign-in.
func (d *draft) more(choose *idx.NextStep, here string, now time.Time, after time.Duration) {
	f, main := d.form, d.step
	if main.CanResend {
		wait := 0
		if d.note.Sent > 0 {
			wait = int((after - now.Sub(time.Unix(d.note.Sent, 0)) + time.Second - 1) / time.Second)
		}
		f.More = append(f.More, action{Label: d.T("code.resend"), Step: main.Name, Do: "resend", Wait: max(0, wait), Waiting: d.T("code.resend.wait")})
	}
	if main.Name == "enroll-authenticator" {
		if _, ok := numberOption(choose); ok && main.Authenticator != nil && main.Authenticator.Type == "phone" {
			f.More = append(f.More, action{Label: d.T("action.number"), Href: here + "?view=" + viewNumber})
		}
	}
	if choose != nil && choose.Name != main.Name && d.otherWays(choose) {
		f.More = append(f.More, action{Label: d.T("action.method"), Href: here + "?view=" + viewChoose})
	}
	if main.CanSkip {
		f.More = append(f.More, action{Label: d.T("action.skip"), Step: main.Name, Do: "skip"})
	}
	doors := map[string]string{"recover": "action.forgot", "unlock-account": "action.unlock", "select-enroll-profile": "action.register", "select-identify": "action.back"}
	for _, step := range d.tx.Steps() {
		name := step.Name
		if i := strings.LastIndexByte(name, '-'); step.Action && i >= 0 {
			name = name[i+1:] // currentAuthenticator-recover
		}
		switch {
		case step.Name == main.Name && step.Redirect == nil:
		case step.Redirect != nil && step.IdentityProvider != nil:
			f.More = append(f.More, action{Label: d.with(step), Href: step.Redirect.String()})
		case doors[name] != "":
			f.More = append(f.More, action{Label: d.T(doors[name]), Step: step.Name, Do: "door"})
		}
	}
}

// otherWays tells whether the list offers anything but what the person is at already.
func (d *draft) otherWays(choose *idx.NextStep) bool {
	_, in, _ := optionsOf(choose)
	now := d.step.Authenticator
	return slices.ContainsFunc(in.Options, func(o idx.Option) bool {
		a := o.Authenticator
		return a == nil || now == nil || a.Key != now.Key || a.EnrollmentID != now.EnrollmentID && a.EnrollmentID != "" && now.EnrollmentID != ""
	})
}

func (d *draft) with(step *idx.NextStep) string {
	if step.IdentityProvider != nil && step.IdentityProvider.Name != "" {
		return d.T("action.with", step.IdentityProvider.Name)
	}
	return d.T("action.continue")
}

func (d *draft) back(here string) {
	d.form.More = append(d.form.More, action{Label: d.T("action.back"), Href: here})
}
