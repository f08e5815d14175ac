package idx

import (
	"encoding/json"
	"time"
)

// Tokens are what a sign-in yields. Printing or logging them shows no token; encoding them as JSON, to keep them in a
// session, does.
type Tokens struct {
	AccessToken  string
	RefreshToken string
	IDToken      string
	Type         string // Bearer or DPoP
	Scope        string
	Subject      string // of the verified ID token
	Expiry       time.Time
	Claims       json.RawMessage // of the verified ID token
}

// UserInfo is the profile of the person signed in. Claims holds everything the engine said.
type UserInfo struct {
	Subject string
	Name    string
	Email   string
	Phone   string
	Claims  json.RawMessage
}
