package idxtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A Recorder is a transport that remembers what passes through it. Secrets are told by their names and replaced when
// the transcript is written; what is told as known and still shows up stops the writing.
type Recorder struct {
	// Next does the work; nil means [http.DefaultTransport].
	Next http.RoundTripper
	// Secrets are known values, such as the password of the test user, that no transcript may hold in any spelling.
	Secrets []string
	// Rename replaces text that is no secret but does not belong in a file: a host, a login.
	Rename map[string]string

	mu  sync.Mutex
	log []exchange
}

// RoundTrip passes the request on and remembers both halves.
func (r *Recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		_ = req.Body.Close()
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	next := r.Next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, exchange{
		message{Method: req.Method, URL: req.URL.String(), Header: headers(req.Header, requestHeaders), Body: readBody(req.Header.Get("Content-Type"), sent)},
		message{Status: resp.StatusCode, Header: headers(resp.Header, responseHeaders), Body: readBody(resp.Header.Get("Content-Type"), got)},
	})
	return resp, nil
}

// ErrSecretSurvived means that a transcript would have held a known secret. Nothing was written.
var ErrSecretSurvived = errors.New("idxtest: a known secret would be in the transcript")

// WriteTo writes the transcript, or nothing if a known secret would be in it.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := &naming{of: map[string]string{}, counts: map[string]int{}}
	log := slices.Clone(r.log)
	for i := range log {
		log[i] = names.learn(log[i])
	}
	var out bytes.Buffer
	for i, e := range log {
		line := names.replace(string(encode(e)))
		for _, old := range slices.Sorted(maps.Keys(r.Rename)) {
			line = strings.ReplaceAll(line, old, r.Rename[old])
		}
		if where := survivor(line, r.Secrets); where != "" {
			return 0, fmt.Errorf("%w: exchange %d, %s", ErrSecretSurvived, i+1, where)
		}
		out.WriteString(line + "\n")
	}
	return out.WriteTo(w)
}

// survivor looks for a secret in the spellings a wire may give it, and says which one it found.
func survivor(line string, secrets []string) string {
	for i, s := range secrets {
		if s == "" {
			continue
		}
		quoted, _ := json.Marshal(s)
		for how, spelling := range map[string]string{
			"as it is":     s,
			"as JSON":      strings.Trim(string(quoted), `"`),
			"in a query":   url.QueryEscape(s),
			"in base64":    strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s)), "="),
			"as base64url": base64.RawURLEncoding.EncodeToString([]byte(s)),
		} {
			if strings.Contains(line, spelling) {
				return fmt.Sprintf("secret %d %s", i+1, how)
			}
		}
	}
	return ""
}

// naming gives each secret value one name, in the order of their appearance.
type naming struct {
	of     map[string]string // value to placeholder
	counts map[string]int
}

func (n *naming) name(kind, value string) {
	// Short values would tear up other text: they are replaced where they stand, by redact, and nowhere else.
	if len(value) < 4 || n.of[value] != "" {
		return
	}
	n.counts[kind]++
	n.of[value] = fmt.Sprintf("«%s-%d»", kind, n.counts[kind])
}

// learn finds the secrets of one exchange. An ID token is opened first: its claims are worth keeping, its signature is not.
func (n *naming) learn(e exchange) exchange {
	for _, m := range []*message{&e.Request, &e.Response} {
		m.Header = maps.Clone(m.Header)
		for name, v := range m.Header {
			if slices.Contains(secretHeaders, name) {
				m.Header[name] = "«" + strings.ToLower(name) + "-0»"
				if kind, _, ok := strings.Cut(v, " "); ok && name == "Authorization" {
					m.Header[name] = kind + " " + m.Header[name]
				}
			}
		}
		if m.Body == nil {
			continue
		}
		var v any
		_ = json.Unmarshal(m.Body, &v)
		m.Body = encode(n.redact(v))
	}
	if u, err := url.Parse(e.Request.URL); err == nil {
		for name, values := range u.Query() {
			if isSecret(name) {
				for _, v := range values {
					n.name(name, v)
				}
			}
		}
	}
	return e
}

// redact walks a body. A secret is a member with a secret name, or a form field {"name":"stateHandle","value":"…"}.
func (n *naming) redact(v any) any {
	switch x := v.(type) {
	case []any:
		for i := range x {
			x[i] = n.redact(x[i])
		}
	case map[string]any:
		field, _ := x["name"].(string)
		for _, name := range slices.Sorted(maps.Keys(x)) {
			s, text := x[name].(string)
			switch {
			case text && name == "id_token":
				x[name] = n.openToken(s)
			case text && isSecret(name):
				x[name] = n.hide(name, s)
			case text && name == "value" && isSecret(field):
				x[name] = n.hide(field, s)
			default:
				x[name] = n.redact(x[name])
			}
		}
	}
	return v
}

func (n *naming) hide(kind, value string) string {
	if value == "" {
		return ""
	}
	n.name(kind, value)
	if p := n.of[value]; p != "" {
		return p
	}
	return "«" + kind + "-0»"
}

// openToken keeps what an ID token says; Replay signs it again.
func (n *naming) openToken(token string) any {
	parts := strings.Split(token, ".")
	if len(parts) == 3 {
		var claims map[string]any
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(payload, &claims) == nil {
			delete(claims, "at_hash") // of a token that is not kept; Replay computes its own
			return map[string]any{"claims": n.redact(claims)}
		}
	}
	return n.hide("id_token", token)
}

// replace puts the names everywhere, longest value first, so that one within another does not break it. What is as short
// as a code stays within its own member, which redact has dealt with: elsewhere the same digits mean something else.
func (n *naming) replace(line string) string {
	values := slices.SortedFunc(maps.Keys(n.of), func(a, b string) int { return len(b) - len(a) })
	for _, v := range values {
		if len(v) < 10 {
			continue
		}
		quoted, _ := json.Marshal(v)
		line = strings.ReplaceAll(line, strings.Trim(string(quoted), `"`), n.of[v])
		line = strings.ReplaceAll(line, url.QueryEscape(v), n.of[v])
	}
	return line
}
