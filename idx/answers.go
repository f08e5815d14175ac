package idx

import (
	"maps"
	"slices"
	"strings"
)

// Answers is what a person typed or picked, by names that do not change with the form. Formatting or logging it
// shows which are given, not what they are.
type Answers struct {
	Username         string
	Password         string
	NewPassword      string
	Authenticator    string // id, enrollment id, key or type of the one picked
	Method           string // sms, voice, ...
	PhoneNumber      string // +15551234567
	VerificationCode string
	RememberMe       *bool
	Profile          Values // attributes by name, for registration
	Extra            Values // anything else, by wire name
}

// Values are form values by wire name; "credentials.passcode" and nested maps mean the same. Formatting or logging
// them shows the names, not the values.
type Values map[string]any

// An answerName is the name of one answer as Unused gives it: Password, Profile.firstName, Extra.credentials.answer.
type answerName string

const (
	username         answerName = "Username"
	password         answerName = "Password"
	newPassword      answerName = "NewPassword"
	whichOne         answerName = "Authenticator"
	method           answerName = "Method"
	phoneNumber      answerName = "PhoneNumber"
	verificationCode answerName = "VerificationCode"
	rememberMe       answerName = "RememberMe"
	profilePrefix               = "Profile."
	extraPrefix                 = "Extra."
)

// flat is a as one map, without what was not given.
func (a Answers) flat() map[answerName]any {
	m := map[answerName]any{}
	for name, s := range map[answerName]string{username: a.Username, password: a.Password, newPassword: a.NewPassword,
		whichOne: a.Authenticator, method: a.Method, phoneNumber: a.PhoneNumber, verificationCode: a.VerificationCode} {
		if s != "" {
			m[name] = s
		}
	}
	if a.RememberMe != nil {
		m[rememberMe] = *a.RememberMe
	}
	for name, v := range a.Profile {
		m[answerName(profilePrefix+name)] = v
	}
	for name, v := range paths(a.Extra, "") {
		m[answerName(extraPrefix+name)] = v
	}
	return m
}

// paths spells nested values as dotted names.
func paths(v map[string]any, prefix string) map[string]any {
	out := map[string]any{}
	for name, x := range v {
		if inner := nested(x); len(inner) > 0 {
			maps.Copy(out, paths(inner, prefix+name+"."))
		} else {
			out[prefix+name] = x
		}
	}
	return out
}

func (a Answers) names() []string { return names(a.flat()) }

func names(m map[answerName]any) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, string(name))
	}
	slices.Sort(out)
	return out
}

// aliases says which answer an input takes, by the input's path. It is the only place where friendly names meet wire
// names, and only Continue reads it.
var aliases = map[string]answerName{
	"identifier":                username,
	"rememberMe":                rememberMe,
	"keepMeSignedIn":            rememberMe,
	"phoneNumber":               phoneNumber,
	"authenticator.phoneNumber": phoneNumber,
	"authenticator.methodType":  method,
	"authenticator.channel":     method,
	"credentials.totp":          verificationCode,
	"credentials.otp":           verificationCode,
}

// settingPassword are the steps in which a password is chosen and not proved. In those that begin with reset or reenroll
// the old one must not be sent in its place: it is the one that has to go.
var settingPassword = []string{"enroll-authenticator", "enroll-authenticator-promotion", "enroll-profile", "profile-update"}

// answerFor names the answers that the input at path may take, best first.
func (f *form) answerFor(path string) []answerName {
	if path == "credentials.passcode" {
		switch {
		case !f.takesPassword():
			return []answerName{verificationCode}
		case strings.HasPrefix(f.name, "reset-") || strings.HasPrefix(f.name, "reenroll-"):
			return []answerName{newPassword}
		case slices.Contains(settingPassword, f.name):
			return []answerName{newPassword, password}
		}
		return []answerName{password}
	}
	if name, ok := strings.CutPrefix(path, "userProfile."); ok {
		return []answerName{answerName(profilePrefix + name)}
	}
	if name, ok := aliases[path]; ok {
		return []answerName{name}
	}
	return nil
}

// takesPassword tells a password from a code. Where no authenticator is named, the form is the first page, or sets one.
func (f *form) takesPassword() bool {
	if a := f.authenticator; a != nil {
		return a.isPassword()
	}
	return f.name != "challenge-authenticator" && f.name != "enroll-authenticator"
}

func (a *Authenticator) isPassword() bool { return a.Type == "password" || a.Key == "okta_password" }

// is tells whether a person may have meant a by want, and how exactly: 0 for its id, 3 for its type, -1 for not at all.
func (a *Authenticator) is(want string) int {
	return slices.Index([]string{a.ID, a.EnrollmentID, a.Key, a.Type}, want)
}
