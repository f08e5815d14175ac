package op

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
)

// params are the parameters of a request, each of them once and none of them empty: a parameter without
// a value is treated as if it had not been sent (RFC 6749 3.1).
type params map[string]string

// The sizes of S-47.
const (
	maxBody   = 64 << 10
	maxParams = 256
)

var maxLength = map[string]int{
	"client_id": 254, "login_hint": 254, "state": 1024, "nonce": 1024, "scope": oauth.MaxScope, "acr_values": 1024,
	"redirect_uri": oauth.MaxRedirect, "post_logout_redirect_uri": oauth.MaxRedirect,
}

// read takes the parameters from where they belong: the body of a POST, the query of a GET.
func read(r *http.Request) (params, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, &refusal{
			said:   &oauth.Error{Code: oauth.InvalidRequest, Description: "Compressed request bodies are not accepted."},
			status: http.StatusUnsupportedMediaType,
		}
	}
	if r.Method != http.MethodPost {
		return parse(r.URL.RawQuery)
	}
	// What is in a URL ends up in logs and histories: codes, verifiers and secrets do not belong there (S-57).
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("Parameters belong in the body of a POST, not in its URL.")
	}
	if r.ContentLength == 0 && r.Header.Get("Content-Type") == "" {
		return nil, nil // userinfo by POST with the token in the header has no body
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, invalidRequest("The body must be of type application/x-www-form-urlencoded.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, invalidRequest("The body could not be read.")
	}
	if len(body) > maxBody {
		return nil, &refusal{
			said:   &oauth.Error{Code: oauth.InvalidRequest, Description: "The body is longer than 64 KiB."},
			status: http.StatusRequestEntityTooLarge,
		}
	}
	return parse(string(body))
}

// parse reads a form. Values may come without percent-encoding: okta-idx-java and okta-idx-dotnet send
// spaces, colons and slashes as they are.
func parse(form string) (params, error) {
	if form == "" {
		return nil, nil
	}
	if strings.Count(form, "&") >= maxParams {
		return nil, invalidRequest("There are too many parameters.")
	}
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, invalidRequest("The parameters are not well-formed.")
	}
	p := make(params, len(values))
	for name, all := range values {
		if len(all) > 1 {
			return nil, invalidRequest("A parameter was sent twice.")
		}
		if !clean(name) || !clean(all[0]) {
			return nil, invalidRequest("The parameters hold characters that are not text.")
		}
		if limit, ok := maxLength[name]; len(all[0]) > keys.MaxToken || ok && len(all[0]) > limit {
			return nil, invalidRequest("A parameter is too long.")
		}
		if all[0] != "" {
			p[name] = all[0]
		}
	}
	return p, nil
}

// encode writes parameters as a query, in the order of their names.
func (p params) encode() string {
	values := url.Values{}
	for name, value := range p {
		values.Set(name, value)
	}
	return values.Encode()
}

// clean reports whether s is text without control characters (S-48).
func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// need returns parameters that must be there.
func (p params) need(name string) (string, error) {
	if p[name] == "" {
		return "", invalidRequest("The parameter '" + name + "' is missing.")
	}
	return p[name], nil
}
