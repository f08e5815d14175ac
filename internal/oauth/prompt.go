package oauth

import "strings"

// The response modes that we serve.
const (
	Query    = "query"
	FormPost = "form_post"
)

// ResponseModes lists them.
var ResponseModes = []string{Query, FormPost}

// A Prompt is what an application wants people to be asked (OpenID Connect Core 3.1.2.1).
type Prompt struct {
	None  bool // nothing
	Login bool // to sign in, though they are signed in
}

// Prompts are the values that we serve. Consent is taken and asks for nothing, as nothing is asked for anyway:
// applications are the organisation's own. To choose an account is to sign in.
var Prompts = []string{"none", "login", "select_account", "consent"}

// ParsePrompt reads a prompt parameter.
func ParsePrompt(s string) (p Prompt, err error) {
	values := strings.Fields(s)
	for _, v := range values {
		switch v {
		case "none":
			p.None = true
		case "login", "select_account":
			p.Login = true
		case "consent":
		default:
			return p, &Error{InvalidRequest, "The 'prompt' holds a value that this server does not know."}
		}
	}
	if p.None && len(values) > 1 {
		return p, &Error{InvalidRequest, "The 'prompt' cannot be 'none' and something else."}
	}
	return p, nil
}
