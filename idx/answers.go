package idx

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
