package idxtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/idx"
)

// A Player is a transport that answers from a transcript, in its order, and needs no socket.
type Player struct {
	mu    sync.Mutex
	lines []exchange
	at    int
	bound map[string]string // placeholder to what the client has sent for it
	key   *ecdsa.PrivateKey // signs the ID tokens that the transcript only tells the claims of
	wrong []string
}

// Replay plays the transcript in file and fails t if the client says anything else than was recorded, or stops before the
// end.
func Replay(t testing.TB, file string) *Player {
	t.Helper()
	p, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Open is Replay for places without a testing.TB, such as an Example; Close says what Replay would.
func Open(file string) (*Player, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := readTranscript(f)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("idxtest: %s holds no exchange", file)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Player{lines: lines, bound: map[string]string{}, key: key}, nil
}

// HTTPClient is for idx.WithHTTPClient.
func (p *Player) HTTPClient() *http.Client { return &http.Client{Transport: p} }

// Config is the relying party that was recorded, as its interact request tells; without authentication, which it does not.
func (p *Player) Config() idx.Config {
	for _, l := range p.lines {
		var form map[string]string
		issuer, ok := strings.CutSuffix(l.Request.URL, "/v1/interact")
		if ok && json.Unmarshal(l.Request.Body, &form) == nil {
			return idx.Config{Issuer: issuer, ClientID: form["client_id"], RedirectURI: form["redirect_uri"], Scopes: strings.Fields(form["scope"])}
		}
	}
	return idx.Config{}
}

// Client is an idx client over the transcript.
func (p *Player) Client(opts ...idx.ClientOption) (*idx.Client, error) {
	return idx.New(p.Config(), append([]idx.ClientOption{idx.WithHTTPClient(p.HTTPClient())}, opts...)...)
}

// Close reports every difference, and what of the transcript was not played.
func (p *Player) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrong := slices.Clone(p.wrong)
	if p.at < len(p.lines) && len(wrong) == 0 {
		next := p.lines[p.at].Request
		wrong = append(wrong, fmt.Sprintf("%d of %d exchanges were played; next would be %s %s", p.at, len(p.lines), next.Method, next.URL))
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("idxtest: the client departs from the transcript:\n%s", strings.Join(wrong, "\n"))
}

// RoundTrip compares the request with the next line and gives its answer.
func (p *Player) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		_ = req.Body.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at >= len(p.lines) {
		return nil, p.depart("%s %s comes after the end of the transcript", req.Method, req.URL.Redacted())
	}
	line := p.lines[p.at]
	got := message{Method: req.Method, URL: req.URL.String(), Header: headers(req.Header, requestHeaders),
		Body: readBody(req.Header.Get("Content-Type"), sent)}
	if why := p.compare(line.Request, got); why != "" {
		return nil, p.depart("exchange %d, %s %s: %s", p.at+1, line.Request.Method, line.Request.URL, why)
	}
	p.at++
	return p.answer(req, line.Response)
}

func (p *Player) depart(format string, args ...any) error {
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	return fmt.Errorf("idxtest: %s", p.wrong[len(p.wrong)-1])
}

// compare says what differs. Where the transcript has a placeholder anything may stand, but for one placeholder always
// the same. It names members and never shows a value that a placeholder hides.
func (p *Player) compare(want, got message) string {
	switch {
	case want.Method != got.Method:
		return "the method is " + got.Method
	case !p.like(want.URL, got.URL):
		return "the address is " + pathOf(got.URL)
	}
	for _, name := range requestHeaders {
		if !p.like(want.Header[name], got.Header[name]) {
			if slices.Contains(secretHeaders, name) {
				return "header " + name + " differs"
			}
			return fmt.Sprintf("header %s is %q, was %q", name, got.Header[name], want.Header[name])
		}
	}
	return p.same("body", tree(want.Body), tree(got.Body))
}

func pathOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "not readable"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

func tree(raw json.RawMessage) any {
	var v any
	if raw == nil || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

func (p *Player) same(at string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return at + " is no object"
		}
		for _, name := range slices.Sorted(maps.Keys(w)) {
			if _, ok := g[name]; !ok {
				return at + "." + name + " is missing"
			}
			if why := p.same(at+"."+name, w[name], g[name]); why != "" {
				return why
			}
		}
		for _, name := range slices.Sorted(maps.Keys(g)) {
			if _, ok := w[name]; !ok {
				return at + "." + name + " was not recorded"
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s is no list of %d", at, len(w))
		}
		for i := range w {
			if why := p.same(fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); why != "" {
				return why
			}
		}
		return ""
	case string:
		if g, ok := got.(string); ok && p.like(w, g) {
			return ""
		}
		return at + " differs"
	}
	if want != got {
		return at + " differs"
	}
	return ""
}

// like compares one text. A placeholder that was bound, or that the engine itself has handed out in an answer, must be
// that very text.
func (p *Player) like(want, got string) bool {
	if want == got {
		return true
	}
	spot := placeholder.FindStringIndex(want)
	if spot == nil {
		return false
	}
	name, tail := want[spot[0]:spot[1]], want[spot[1]:]
	if placeholder.MatchString(tail) {
		return false // two in one text cannot be told apart
	}
	rest, ok := strings.CutPrefix(got, want[:spot[0]])
	if !ok {
		return false
	}
	value, ok := strings.CutSuffix(rest, tail)
	if !ok || value == "" {
		return false
	}
	if strings.HasSuffix(name, "-0»") {
		return true // too short to be told from other text; stands for anything
	}
	if known, ok := p.bound[name]; ok {
		return known == value
	}
	p.bound[name] = value
	return true
}

// answer puts what the client has sent where the transcript names it, signs ID tokens, and shows our own key.
func (p *Player) answer(req *http.Request, m message) (*http.Response, error) {
	body := p.fill(m.Body)
	if strings.HasSuffix(req.URL.Path, "/v1/keys") {
		body = encode(map[string]any{"keys": []any{p.jwk()}})
	}
	for _, found := range placeholder.FindAllString(string(body), -1) {
		p.bound[found] = found // the engine said it like this, and wants it back like this
	}
	text, err := p.sign(body)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	for name, v := range m.Header {
		h.Set(name, v)
	}
	return &http.Response{Status: http.StatusText(m.Status), StatusCode: m.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)), Request: req}, nil
}

func (p *Player) fill(body []byte) []byte {
	return placeholder.ReplaceAllFunc(body, func(name []byte) []byte {
		if v, ok := p.bound[string(name)]; ok {
			quoted := encode(v)
			return quoted[1 : len(quoted)-1]
		}
		return name
	})
}

// sign makes a token of {"id_token":{"claims":{…}}}, as old as the recording was when it was made.
func (p *Player) sign(body []byte) ([]byte, error) {
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return body, nil
	}
	told, ok := answer["id_token"].(map[string]any)
	if !ok {
		return body, nil
	}
	claims, _ := told["claims"].(map[string]any)
	issued, _ := claims["iat"].(float64)
	shift := float64(time.Now().Unix()) - issued
	for _, name := range []string{"iat", "exp", "nbf", "auth_time"} {
		if t, ok := claims[name].(float64); ok {
			claims[name] = t + shift
		}
	}
	access, _ := answer["access_token"].(string)
	half := sha256.Sum256([]byte(access))
	claims["at_hash"] = base64.RawURLEncoding.EncodeToString(half[:16])
	token, err := p.jwt(claims)
	if err != nil {
		return nil, err
	}
	answer["id_token"] = token
	return encode(answer), nil
}

func (p *Player) jwt(claims map[string]any) (string, error) {
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"replay"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(encode(claims))
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		return "", err
	}
	sig := make([]byte, 64) // RFC 7518 3.4
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

func (p *Player) jwk() map[string]any {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		panic(err) // the key was made here, on this curve
	}
	return map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "replay",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}
}
