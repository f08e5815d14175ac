package idxapi

import (
	"fmt"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
)

// artist draws one page in one language.
type artist struct {
	*engine.Page
	origin string
	lang   msg.Lang
	fault  *fault.Fault
}

// draw makes the document of a page, with the messages of a refusal if there is one. Without a page it
// is messages alone; a fault that stands alone keeps the head of the page and shows no way on (idx 7.4).
func (a *API) draw(p *engine.Page, lang msg.Lang, f *fault.Fault) document {
	d := document{Version: version}
	at := artist{p, a.Origin, lang, f}
	d.Messages = at.globalMessages()
	if p == nil {
		return d
	}
	d.StateHandle, d.ExpiresAt, d.Intent = p.Handle.Reveal(), timestamp(p.Expires), "LOGIN"
	if f != nil && f.Bare {
		return d
	}
	d.App = objectOf(app{"oidc_client", p.Client.Label, string(p.Client.ID)})
	d.Cancel = at.bare("cancel", "cancel")
	d.User = at.user()
	switch p.Offer.Stage {
	case flow.Done:
		if p.Redirect != "" { // the code is for the browser alone
			d.Leave = &departure{"success-redirect", p.Redirect}
			break
		}
		d.Success = at.success()
	case flow.Identify:
		d.Remediation = listOf([]form{at.identify()})
		if p.Offer.PasswordHere {
			d.CurrentAuthenticator = objectOf(at.authenticator(ident.Password))
		}
	case flow.VerifySelect, flow.VerifyData, flow.Verify:
		at.verifying(&d)
	case flow.EnrollSelect, flow.EnrollData, flow.Enroll:
		at.enrolling(&d)
	}
	return d
}

// globalMessages are those that belong to no field.
func (a artist) globalMessages() *list[message] {
	if a.fault == nil || a.inField() {
		return nil
	}
	return listOf([]message{a.message()})
}

// inField reports that the fault is drawn beside the passcode: a wrong code, where clients look for it.
func (a artist) inField() bool {
	return a.fault != nil && a.fault.Key == msg.InvalidCode && a.Page != nil
}

func (a artist) message() message {
	f := a.fault
	m := message{Message: msg.Text(a.lang, f.Key, f.Params...), I18n: i18n{Key: string(f.Key)}, Class: "ERROR"}
	switch f.Key {
	case msg.UnknownUser:
		m.Class, m.I18n.Params = "INFO", &[]string{}
	case msg.InvalidCode:
		m.I18n.Params = &[]string{}
	default:
		if len(f.Params) > 0 {
			m.I18n.Params = &f.Params
		}
	}
	return m
}

// user is shown once the name is: its id only after the first proof, for before that nobody may learn
// whether there is one (S-24).
func (a artist) user() *object[user] {
	switch {
	case a.Offer.Known:
		return objectOf(user{ID: string(a.User.ID), Identifier: a.User.Login})
	case a.Offer.Stage == flow.Verify:
		return objectOf(user{Identifier: a.Login})
	}
	return nil
}

func (a artist) identify() form {
	inputs := []field{{Name: "identifier", Label: a.text(msg.LabelUsername), Required: yes}}
	if a.Offer.PasswordHere {
		inputs = append(inputs, field{Name: "credentials", Type: "object", Required: yes, Form: &fields{[]field{a.password()}}})
	}
	inputs = append(inputs, field{Name: "rememberMe", Type: "boolean", Label: a.text(msg.LabelRemember)})
	return a.form("identify", "identify", nil, inputs...)
}

func (a artist) password() field {
	return field{Name: "passcode", Label: a.text(msg.LabelPassword), Secret: true}
}

// verifying draws the steps that prove something enrolled. The choosing form stays beside the step:
// some clients go by nothing else.
func (a artist) verifying(d *document) {
	var forms []form
	var chosen []ident.Enrollment
	for _, k := range a.Offer.Choices {
		if e, ok := ident.Find(a.Enrollments, k); ok {
			chosen = append(chosen, e)
		}
	}
	at := []string{"$.currentAuthenticatorEnrollment"}
	if cur := a.Offer.Current; cur.Kind != "" {
		e, _ := ident.Find(a.Enrollments, cur.Kind)
		shown := a.enrollment(e)
		switch a.Offer.Stage {
		case flow.VerifyData:
			forms = append(forms, a.form("authenticator-verification-data", "challenge", at, field{
				Name: "authenticator", Label: a.name(cur.Kind), Form: &fields{a.toVerify(e, yes)},
			}))
		case flow.Verify:
			forms = append(forms, a.form("challenge-authenticator", "challenge/answer", at, a.passcode(cur.Kind)))
			shown.Resend = a.resend()
		}
		d.CurrentEnrollment = objectOf(shown)
	}
	var options []option
	var authenticators, enrollments []authenticator
	for i, e := range chosen {
		options = append(options, option{a.name(e.Kind), nested{fields{a.toVerify(e, no)}}, fmt.Sprintf("$.authenticatorEnrollments.value[%d]", i)})
		authenticators = append(authenticators, a.authenticator(e.Kind))
		enrollments = append(enrollments, a.enrollment(e))
	}
	forms = append(forms, a.form("select-authenticator-authenticate", "challenge", nil, field{Name: "authenticator", Type: "object", Options: options}))
	d.Remediation, d.Authenticators, d.Enrollments = listOf(forms), listOf(authenticators), listOf(enrollments)
}

// enrolling draws the steps that set something up.
func (a artist) enrolling(d *document) {
	var forms []form
	at := []string{"$.currentAuthenticator"}
	if cur := a.Offer.Current; cur.Kind != "" {
		shown := a.authenticator(cur.Kind)
		switch a.Offer.Stage {
		case flow.EnrollData:
			forms = append(forms, a.form("authenticator-enrollment-data", "credential/enroll", at, field{
				Name: "authenticator", Label: a.name(cur.Kind), Form: &fields{a.toEnroll(cur.Kind, yes)},
			}))
		case flow.Enroll:
			forms = append(forms, a.form("enroll-authenticator", "challenge/answer", at, a.passcode(cur.Kind)))
			shown.Resend = a.resend()
		}
		d.CurrentAuthenticator = objectOf(shown)
		d.EnrollmentAuthenticator = objectOf(a.authenticator(cur.Kind))
	}
	var options []option
	var authenticators []authenticator
	for i, k := range a.Offer.Choices {
		options = append(options, option{a.name(k), nested{fields{a.toEnroll(k, no)}}, fmt.Sprintf("$.authenticators.value[%d]", i)})
		authenticators = append(authenticators, a.authenticator(k))
	}
	forms = append(forms, a.form("select-authenticator-enroll", "credential/enroll", nil, field{Name: "authenticator", Type: "object", Options: options}))
	if a.Offer.Skip {
		forms = append(forms, *a.bare("skip", "skip"))
	}
	var have []authenticator
	for _, e := range a.Enrollments {
		have = append(have, a.enrollment(e))
	}
	d.Remediation, d.Authenticators, d.Enrollments = listOf(forms), listOf(authenticators), listOf(have)
}

// passcode is the field that awaits a proof, with the message of a wrong one in it.
func (a artist) passcode(k ident.Kind) field {
	f := field{Name: "passcode", Label: a.text(msg.LabelEnterCode)}
	if k == ident.Password {
		f = a.password()
	}
	if a.inField() {
		f.Messages = listOf([]message{a.message()})
	}
	return field{Name: "credentials", Type: "object", Required: yes, Form: &fields{[]field{f}}}
}

// toVerify is the form that names an enrolled authenticator. The id comes first: some clients read it there.
func (a artist) toVerify(e ident.Enrollment, required *bool) []field {
	inputs := []field{a.id(e.Kind)}
	if e.Kind == ident.Password {
		return append(inputs, field{Name: "methodType", Required: no, Value: string(ident.MethodPassword), Mutable: no})
	}
	return append(inputs, a.methodType(e.Kind, required),
		field{Name: "enrollmentId", Required: yes, Value: string(e.ID), Mutable: no})
}

// toEnroll is the form that names an authenticator to set up and takes its data.
func (a artist) toEnroll(k ident.Kind, required *bool) []field {
	inputs := []field{a.id(k), a.methodType(k, required)}
	if k == ident.Phone {
		inputs = append(inputs, field{Name: "phoneNumber", Label: a.text(msg.LabelPhoneNum), Required: required})
	}
	return inputs
}

func (a artist) id(k ident.Kind) field {
	return field{Name: "id", Required: yes, Value: string(a.find(k).ID), Mutable: no}
}

// methodType keeps its options even if there is one: without them there is nothing to choose.
func (a artist) methodType(k ident.Kind, required *bool) field {
	f := field{Name: "methodType", Type: "string", Required: required}
	for _, m := range a.find(k).Methods {
		f.Options = append(f.Options, option{Label: a.methodName(m), Value: string(m)})
	}
	return f
}

func (a artist) methodName(m ident.Method) string {
	if m == ident.MethodSMS {
		return a.text(msg.LabelSMS)
	}
	return string(m)
}

// name is what a kind is called. The English names are API (idx 6.1).
func (a artist) name(k ident.Kind) string {
	switch k {
	case ident.Password:
		return a.text(msg.LabelPassword)
	case ident.Phone:
		return a.text(msg.LabelPhone)
	}
	return string(k)
}

func (a artist) find(k ident.Kind) ident.Authenticator {
	for _, one := range a.Authenticators {
		if one.Kind == k {
			return one
		}
	}
	return ident.Authenticator{Kind: k}
}

func (a artist) authenticator(k ident.Kind) authenticator {
	one := a.find(k)
	shown := authenticator{Type: string(k), Key: one.Key, ID: string(one.ID), DisplayName: a.name(k)}
	for _, m := range one.Methods {
		shown.Methods = append(shown.Methods, method{string(m)})
	}
	return shown
}

func (a artist) enrollment(e ident.Enrollment) authenticator {
	shown := a.authenticator(e.Kind)
	shown.ID = string(e.ID)
	if e.Kind == ident.Phone {
		shown.Profile = map[string]string{"phoneNumber": e.Hint}
	}
	return shown
}

func (a artist) resend() *form {
	if !a.Offer.Resend {
		return nil
	}
	return a.bare("resend", "challenge/resend")
}

// success ends the flow: the code, and the form that redeems it. Clients post it as it stands.
func (a artist) success() *form {
	inputs := []field{
		{Name: "grant_type", Required: yes, Value: string(oauth.InteractionCode)},
		{Name: "interaction_code", Required: yes, Value: a.Code.Reveal()},
		{Name: "client_id", Required: yes, Value: string(a.Client.ID)},
	}
	if a.Client.Confidential() {
		inputs = append(inputs, field{Name: "client_secret", Required: yes})
	}
	return &form{
		Rel: rel, Name: "issue", Href: a.origin + "/oauth2/" + a.Server + "/v1/token", Method: "POST",
		Value: append(inputs, field{Name: "code_verifier", Required: yes}), Accepts: "application/x-www-form-urlencoded",
	}
}

var rel = []string{"create-form"}

// form is a remediation: the state handle is in each, for some clients refuse to post a form without fields.
func (a artist) form(name, path string, relatesTo []string, inputs ...field) form {
	return form{
		Rel: rel, Name: name, RelatesTo: relatesTo, Href: a.origin + "/idp/idx/" + path, Method: "POST", Produces: typeION,
		Value:   append(inputs, field{Name: "stateHandle", Required: yes, Value: a.Handle.Reveal(), Visible: no, Mutable: no}),
		Accepts: "application/json; okta-version=1.0.0",
	}
}

// bare is a form with nothing to fill in.
func (a artist) bare(name, path string) *form {
	f := a.form(name, path, nil)
	return &f
}

func (a artist) text(k msg.Key) string { return msg.Text(a.lang, k) }
