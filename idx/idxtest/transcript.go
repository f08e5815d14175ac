package idxtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// An exchange is one line of a transcript.
type exchange struct {
	Request  message `json:"request"`
	Response message `json:"response"`
}

// A message is one half of an exchange. Body is JSON where the wire had JSON, an object of strings where it had a web
// form, and a string otherwise; absent if there was none.
type message struct {
	Method string            `json:"method,omitempty"`
	URL    string            `json:"url,omitempty"`
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
}

// Headers that mean something to the protocol. The others (dates, lengths, agents) differ from run to run.
var (
	requestHeaders  = []string{"Accept", "Accept-Language", "Authorization", "Content-Type", "Cookie", "Dpop", "X-Device-Token", "X-Forwarded-For"}
	responseHeaders = []string{"Content-Type", "Dpop-Nonce", "Retry-After", "Www-Authenticate", "X-Okta-Request-Id"}
)

func headers(h http.Header, keep []string) map[string]string {
	out := map[string]string{}
	for _, name := range keep {
		if v := h.Values(name); len(v) > 0 {
			out[name] = strings.Join(v, ", ")
		}
	}
	return out
}

// readBody writes a body in its one canonical form, so that two spellings of the same compare equal.
func readBody(contentType string, raw []byte) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	if strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		if form, err := url.ParseQuery(string(raw)); err == nil {
			return encode(flatten(form))
		}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) == nil && !dec.More() {
		return encode(v)
	}
	return encode(string(raw))
}

func flatten(form url.Values) map[string]string {
	out := map[string]string{}
	for name, values := range form {
		out[name] = strings.Join(values, " ")
	}
	return out
}

func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // v was decoded a moment ago
	}
	return bytes.TrimSpace(b.Bytes())
}

// placeholder is how a transcript names a secret.
var placeholder = regexp.MustCompile(`«[A-Za-z_-]+-[0-9]+»`)

func readTranscript(r io.Reader) ([]exchange, error) {
	var all []exchange
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e exchange
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("idxtest: line %d: %w", n, err)
		}
		all = append(all, e)
	}
	return all, lines.Err()
}

// secretNames are the members, form fields and inputs whose values never enter a transcript.
var secretNames = []string{
	"passcode", "answer", "totp", "otp", "password", "newPassword", "nextPasscode", "sharedSecret",
	"clientData", "authenticatorData", "signatureData", "attestation", "userHandle",
	"stateHandle", "stateToken", "interactionHandle", "interaction_handle", "interaction_code",
	"access_token", "refresh_token", "id_token", "token",
	"client_secret", "client_assertion", "code_verifier", "code_challenge", "state", "nonce", "activation_token", "recovery_token",
}

var secretHeaders = []string{"Authorization", "Cookie", "Dpop", "Dpop-Nonce", "X-Device-Token"}

func isSecret(name string) bool { return slices.Contains(secretNames, name) }
