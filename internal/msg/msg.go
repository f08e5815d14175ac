// Package msg owns the texts that the engine sends and its OAuth endpoints show, by key and language.
//
// The key is the contract (clients translate and decide by it); the text is for people. English texts
// of the IDX keys are API as well: published applications compare four of them word for word, and
// some clients find an authenticator by its English label. So English is what a request gets that
// does not ask for a language we have.
package msg

import (
	"strconv"
	"strings"
)

// A Key names a text.
type Key string

// Keys of the IDX wire.
const (
	AuthenticationFailed Key = "errors.E0000004"
	UnknownUser          Key = "idx.unknown.user"
	NotAssigned          Key = "idx.error.user.not.assigned.to.app"
	Unsatisfiable        Key = "oie.assurance.unsatisfiable"
	InvalidCode          Key = "api.authn.error.PASSCODE_INVALID"
	InvalidPhone         Key = "api.factors.error.sms.invalid_phone"
	SMSLimit             Key = "errors.E0000150"
	TooManyRequests      Key = "tooManyRequests"
	RateLimited          Key = "E0000047"
	FactorSuspended      Key = "authfactor.challenge.suspended_factor"
	SessionExpired       Key = "idx.session.expired"
	FieldRequired        Key = "api.error.field_required"
	Malformed            Key = "errors.E0000003"
	NotOffered           Key = "errors.E0000020"
	MediaType            Key = "errors.E0000021"
	Method               Key = "errors.E0000022"
	InternalError        Key = "errors.E0000009"
	Unavailable          Key = "errors.E0000010"
	NotFound             Key = "errors.E0000007"
	PasswordRequirements Key = "password.passwordRequirementsNotMet"
	PasswordCommon       Key = "password.common"
)

// Keys of our own.
const (
	SMSUnavailable Key = "latchkey.sms.unavailable"
	TooBusy        Key = "latchkey.busy"
	CodeText       Key = "latchkey.sms.code" // {0} application, {1} code, {2} minutes
	PhoneGoneText  Key = "latchkey.sms.gone" // {0} host
)

// Labels on the wire. The English ones are API.
const (
	LabelUsername  Key = "label.username"
	LabelPassword  Key = "label.password"
	LabelRemember  Key = "label.remember"
	LabelPhone     Key = "label.phone"
	LabelPhoneNum  Key = "label.phone.number"
	LabelSMS       Key = "label.sms"
	LabelEnterCode Key = "label.enter.code"
)

// Texts of the pages that the OAuth endpoints show to people.
const (
	PageLink           Key = "page.link"
	PageAgain          Key = "page.again"
	PageDetail         Key = "page.detail"
	PageUnknownApp     Key = "page.unknown.app"
	PageUnknownAddress Key = "page.unknown.address"
	PageOver           Key = "page.over"
	PageNowhere        Key = "page.nowhere"
	PageBroken         Key = "page.broken"
	PageBrokenText     Key = "page.broken.text"
	PageOften          Key = "page.often"
	PageOftenText      Key = "page.often.text"
	PageBack           Key = "page.back"
	PageContinue       Key = "page.continue"
	PageLeave          Key = "page.leave"
	PageLeaveText      Key = "page.leave.text"
	PageSignOut        Key = "page.signout"
	PageLeft           Key = "page.left"
	PageClose          Key = "page.close"
	PageStay           Key = "page.stay"
	PageReturning      Key = "page.returning"
	PageGoOn           Key = "page.goon"

	DeviceTitle    Key = "device.title"
	DeviceText     Key = "device.text"
	DeviceCode     Key = "device.code"
	DeviceWrong    Key = "device.wrong"
	DeviceStale    Key = "device.stale"
	DeviceRetype   Key = "device.retype" // {0} address
	DeviceMore     Key = "device.more"   // {0} application
	DeviceMoreText Key = "device.more.text"
	DeviceSignIn   Key = "device.signin"
	DeviceAsk      Key = "device.ask"      // {0} application
	DeviceAskText  Key = "device.ask.text" // {0} code; scopes follow
	DeviceWarning  Key = "device.warning"
	DeviceDeny     Key = "device.deny"
	DeviceOut      Key = "device.out"
	DeviceOutText  Key = "device.out.text"
	DeviceIn       Key = "device.in"
	DeviceInText   Key = "device.in.text"

	ScopeOpenID  Key = "scope.openid"
	ScopeProfile Key = "scope.profile"
	ScopeEmail   Key = "scope.email"
	ScopePhone   Key = "scope.phone"
	ScopeGroups  Key = "scope.groups"
	ScopeOffline Key = "scope.offline_access"
)

// Lang is one of the languages that the catalogue holds.
type Lang int

// The languages, in the order of a catalogue row.
const (
	English Lang = iota
	German
	French
	Spanish
)

// String returns the language's tag.
func (l Lang) String() string { return [...]string{"en", "de", "fr", "es"}[l] }

// Text returns the text of a key, its parameters filled in. A key without a text is shown as itself:
// ugly, and seen at once.
func Text(l Lang, k Key, params ...string) string {
	row, ok := catalogue[k]
	if !ok {
		return string(k)
	}
	text := row[l]
	for i, p := range params {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", p)
	}
	return text
}

// Prefer picks the language that comes first in an application's ui_locales, tags with spaces between; where that names
// none of ours, the one that Accept-Language asks for.
func Prefer(locales, header string) Lang {
	for tag := range strings.FieldsSeq(locales) {
		if l, ok := spoken(tag); ok {
			return l
		}
	}
	return Match(header)
}

// spoken is the language of a tag, compared by its first part: de-AT and de-CH both read German.
func spoken(tag string) (Lang, bool) {
	primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
	for l := English; l <= Spanish; l++ {
		if primary == l.String() {
			return l, true
		}
	}
	return English, false
}

// Match picks the language that an Accept-Language header asks for most; English where it asks for none of ours.
func Match(header string) Lang {
	best, weight := English, 0.0
	for _, part := range strings.Split(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			parsed, err := strconv.ParseFloat(v, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		if l, ok := spoken(tag); ok && q > weight {
			best, weight = l, q
		}
	}
	return best
}
