package idx

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unicode/utf8"
)

// seeds are the bodies of our own transcripts, and the recordings beside the project where they are there.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	files, _ := filepath.Glob("testdata/transcripts/*.jsonl")
	if len(files) == 0 {
		f.Fatal("there are no transcripts")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, l := range bytes.Split(text, []byte("\n")) {
			var e struct {
				Response struct{ Body json.RawMessage }
			}
			if json.Unmarshal(l, &e) == nil && e.Response.Body != nil {
				all = append(all, e.Response.Body)
			}
		}
	}
	recorded, _ := filepath.Glob("../../shared/fixtures/idx/*.json")
	for i, file := range recorded {
		if text, err := os.ReadFile(file); err == nil && i%10 == 0 {
			all = append(all, text)
		}
	}
	return all
}

// FuzzDocument: whatever an engine says, it is read without a panic, in bounded memory, and twice the same.
func FuzzDocument(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := parse(body)
		if err != nil {
			return
		}
		tx := &Transaction{&snapshot{client: "c", handle: "h", state: "s", verifier: "v", doc: d, code: d.code}}
		for _, s := range tx.Steps() {
			for path, in := range s.Fields() {
				if path == "" || in.Hidden {
					t.Errorf("field %q is not for people", path)
				}
			}
		}
		_, _ = tx.Messages(), changed(tx, tx)
		text, err := tx.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Restore(text)
		if err != nil {
			t.Fatal(err)
		}
		now, then := back.NextStep(), tx.NextStep()
		if now != nil && then != nil {
			now.Raw, then.Raw = nil, nil // white space is not kept
		}
		if !reflect.DeepEqual(now, then) && utf8.Valid(body) {
			t.Error("it is another document after a snapshot")
		}
		if limited := tx.limited(&document{root: map[string]any{}}); limited.Status() == "" {
			t.Error("no status")
		}
	})
}

// FuzzBody: what is posted is valid JSON, fixed values intact, passwords byte for byte.
func FuzzBody(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s, "credentials.passcode", `pass"word\`)
		f.Add(s, "authenticator.id", "aut1phone")
		f.Add(s, "identifier", "mary\x00\u2028")
	}
	f.Fuzz(func(t *testing.T, doc []byte, name, value string) {
		d, err := parse(doc)
		if err != nil {
			return
		}
		for _, form := range d.forms {
			body, bad := form.body(Values{name: value})
			if bad != nil {
				continue
			}
			var sent map[string]any
			if err := json.Unmarshal(body, &sent); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			for _, in := range form.fields {
				if in.fixed && find(form.fields, in.name) == in && !reflect.DeepEqual(normal(in.value), sent[in.name]) {
					t.Errorf("%s is %v, fixed to %v", in.name, sent[in.name], in.value)
				}
				if in.name == name && !in.fixed && in.kind == "string" && in.options == nil && in.fields == nil && find(form.fields, name) == in && sent[name] != value {
					t.Errorf("%q arrived as %q", value, sent[name])
				}
			}
		}
	})
}

func normal(v any) any {
	text, _ := json.Marshal(v)
	var out any
	_ = json.Unmarshal(text, &out)
	return out
}

// FuzzRelatesTo: a path leads to an object or nowhere.
func FuzzRelatesTo(f *testing.F) {
	for _, p := range []string{"$.currentAuthenticator", "$.authenticators.value[0]", "$.authenticators.value[-1]", "$", "", "$..", "[[[", "authenticatorChallenge",
		"$.authenticators.value[99999999999999999999]", "$.authenticators.value[0].methods[0].type"} {
		f.Add(p)
	}
	d, err := parse([]byte(`{"version":"1.0.0","currentAuthenticator":{"type":"object","value":{"id":"a"}},"authenticators":{"type":"array","value":[{"id":"b","methods":[{"type":"sms"}]}]}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if o := d.resolve(path); o != nil && len(words(path)) == 0 {
			t.Errorf("%q leads to %v", path, o)
		}
	})
}

// FuzzSealerOpen: nothing opens but what was sealed.
func FuzzSealerOpen(f *testing.F) {
	s, err := NewSealer([32]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	tx := &Transaction{&snapshot{client: "c", handle: "h", state: "s", nonce: "n", verifier: "v"}}
	sealed, err := s.Seal(tx)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add("")
	f.Add(sealed[:len(sealed)-1])
	f.Fuzz(func(t *testing.T, text string) {
		// Fuzzing runs in several processes, each with its own sealing of the same: what opens must be that.
		if got, err := s.Open(text); err == nil && !reflect.DeepEqual(got, tx) {
			t.Errorf("%q opened", text)
		}
	})
}

// FuzzRestore: a snapshot from a careless store does not panic.
func FuzzRestore(f *testing.F) {
	text, _ := (&Transaction{&snapshot{client: "c", handle: "h", state: "s", nonce: "n", verifier: "v"}}).Snapshot()
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		if tx, err := Restore(text); err == nil {
			_, _, _ = tx.Status(), tx.NextStep(), tx.Messages()
		}
	})
}

func fuzzClient(f *testing.F) *Client {
	c, err := New(Config{Issuer: "https://id.example", ClientID: "a", RedirectURI: "https://app.example/"}, WithHTTPClient(&http.Client{Transport: none{}}), WithRetry(1, 0))
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// none is a transport without a network.
type none struct{}

func (none) RoundTrip(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }

// FuzzCallback: only the right state gets anywhere.
func FuzzCallback(f *testing.F) {
	c := fuzzClient(f)
	tx := &Transaction{&snapshot{client: c.core.fingerprint, handle: "h", state: "the-state", nonce: "n", verifier: "v"}}
	for _, q := range []string{"state=the-state&interaction_code=x", "state=the-state&error=interaction_required", "state=x&otp=1", "otp=1", "state=the-state&otp=1", "%zz"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		next, err := c.Callback(t.Context(), tx, q)
		if err == nil && (q.Get("state") != "the-state" || len(q["state"]) != 1 || next.InteractionCode() == "") {
			t.Errorf("%q was taken", query)
		}
	})
}

// FuzzIDToken: without the issuer's key nothing is believed.
func FuzzIDToken(f *testing.F) {
	c := fuzzClient(f)
	c.core.keys.value.Store(func() **keySet { s := &keySet{fetched: c.core.now()}; return &s }())
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJSUzI1NiJ9.e30.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := c.verify(t.Context(), token, expectation{}); err == nil {
			t.Errorf("%q was believed", token)
		}
	})
}
