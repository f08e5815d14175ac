package idx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"latchkey.dev/idx"
)

// TestRecordedResponses reads what real engines have said, walks it as pages do, and fills in every form. The recordings
// are kept beside the project and are not part of it.
func TestRecordedResponses(t *testing.T) {
	files, err := filepath.Glob("../../shared/fixtures/idx/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the recorded responses are missing")
		}
		t.Skip("the recorded responses are not here")
	}
	var documents, steps, posted, none int
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tx := recorded(t, string(body))
			if tx == nil {
				none++
				return
			}
			documents++
			listed := map[string]any{}
			_ = json.Unmarshal(body, &listed)
			if n := len(items(listed["remediation"])); len(tx.Steps()) < n {
				t.Errorf("%d steps of %d", len(tx.Steps()), n)
			}
			for i, step := range tx.Steps() {
				steps++
				for path, in := range step.Fields() {
					if path == "" || in.Hidden {
						t.Errorf("%s: field %q is not for people", step.Name, path)
					}
				}
				if step.Redirect != nil {
					continue
				}
				if found, _ := tx.Step(step.Name); i > 0 && string(found.Raw) != string(step.Raw) {
					continue // a second step of the same name cannot be asked for by name
				}
				postRecorded(t, string(body), step)
				posted++
			}
		})
	}
	t.Logf("%d documents with %d steps, %d of them filled in and posted; %d files are no documents", documents, steps, posted, none)
	if documents < 290 || posted < 500 || none > 5 {
		t.Errorf("too few were understood")
	}
}

// recorded is the transaction that a recorded body leads to; nil if it is no IDX document.
func recorded(t *testing.T, body string) *idx.Transaction {
	_, tx := recordedClient(t, play(say(200, body)))
	return tx
}

func recordedClient(t *testing.T, s *stage) (*idx.Client, *idx.Transaction) {
	c, err := idx.New(idx.Config{Issuer: "http://localhost:3000/oauth2/default", ClientID: clientID, RedirectURI: redirectURI},
		idx.WithHTTPClient(&http.Client{Transport: s}), idx.WithRetry(1, 0),
		idx.WithTrustedOrigins("https://idx.okta1.com", "http://idx.okta1.com:1802", "https://localhost:3000"))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.Start(t.Context())
	var no *idx.RejectedError
	var se *idx.ServerError
	switch {
	case errors.As(err, &no):
		return c, no.Transaction
	case errors.As(err, &se):
		return c, nil
	case err != nil:
		t.Fatal(err)
	}
	return c, tx
}

// postRecorded fills the step with made-up values and looks at what was sent.
func postRecorded(t *testing.T, body string, step *idx.NextStep) {
	t.Helper()
	s := play(say(200, body), say(200, doc(nil, successMember)))
	c, tx := recordedClient(t, s)
	values := madeUp(step.Inputs)
	if _, err := c.Proceed(t.Context(), tx, step.Name, values); err != nil {
		if errors.Is(err, idx.ErrUntrustedURL) {
			return // recorded from another host than the rest
		}
		t.Errorf("%s: %v", step.Name, err)
		return
	}
	sent := s.requests()[1]
	got := tree(t, sent.body)
	var form map[string]any
	if err := json.Unmarshal(step.Raw, &form); err != nil {
		t.Fatal(err)
	}
	intact(t, step.Name, items(form["value"]), got)
	if sent.url != form["href"] {
		t.Errorf("%s went to %s", step.Name, sent.url)
	}
	if kind := sent.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/") || !strings.Contains(kind, "json") {
		t.Errorf("%s was sent as %q", step.Name, kind)
	}
}

// madeUp answers every input that is not fixed.
func madeUp(inputs []idx.Input) idx.Values {
	v := idx.Values{}
	for _, in := range inputs {
		switch {
		case in.ReadOnly:
		case len(in.Options) > 0 && in.Options[0].Inputs != nil:
			v[in.Name] = in.Options[0].Choose(madeUp(in.Options[0].Inputs))
		case len(in.Options) > 0:
			v[in.Name] = in.Options[len(in.Options)-1].Value
		case len(in.Inputs) > 0:
			v[in.Name] = madeUp(in.Inputs)
		case in.Type == "boolean":
			v[in.Name] = true
		default:
			v[in.Name] = `made "up" ` + in.Name
		}
	}
	return v
}

// intact checks, from the raw form and not through the package, that fixed values came back and nothing was invented.
func intact(t *testing.T, at string, fields []any, body map[string]any) {
	t.Helper()
	names := map[string]bool{}
	groups := map[string][]any{} // several groups of one name are one
	for _, f := range fields {
		f := f.(map[string]any)
		if form, ok := f["form"].(map[string]any); ok {
			name := f["name"].(string)
			groups[name] = append(groups[name], items(form["value"])...)
			f["form"] = map[string]any{"value": groups[name]}
		}
	}
	for _, f := range fields {
		f := f.(map[string]any)
		name := f["name"].(string)
		names[name] = true
		if form, ok := f["form"].(map[string]any); ok {
			form["value"] = groups[name]
		}
		nested, isNested := f["form"].(map[string]any)
		if v, ok := f["value"].(map[string]any); ok {
			nested, isNested = v["form"].(map[string]any)
		}
		switch {
		case isNested && len(items(nested["value"])) > 0:
			group, ok := body[name].(map[string]any)
			if !ok {
				t.Errorf("%s.%s is missing", at, name)
				continue
			}
			intact(t, at+"."+name, items(nested["value"]), group)
		case f["mutable"] == false && f["value"] != nil:
			if !reflect.DeepEqual(body[name], f["value"]) {
				t.Errorf("%s.%s is %v, fixed to %v", at, name, body[name], f["value"])
			}
		case f["options"] != nil:
			if group, ok := body[name].(map[string]any); ok {
				option := f["options"].([]any)[0].(map[string]any)
				inner, _ := option["value"].(map[string]any)
				form, _ := inner["form"].(map[string]any)
				if form == nil {
					form, _ = option["form"].(map[string]any)
				}
				intact(t, at+"."+name, items(form["value"]), group)
			}
		case body[name] == nil:
			t.Errorf("%s.%s was not sent", at, name)
		}
	}
	for name := range body {
		if !names[name] {
			t.Errorf("%s.%s was invented", at, name)
		}
	}
}

// items takes a list, or a collection {"value":[…]}.
func items(v any) []any {
	if o, ok := v.(map[string]any); ok {
		v = o["value"]
	}
	l, _ := v.([]any)
	return l
}

// Shapes seen in the wild, each on its own, so that a failure has a name.
func TestShapes(t *testing.T) {
	phone := `"authenticators":{"type":"array","value":[{"type":"phone","key":"phone_number","id":"aut1"}]}`
	current := `"currentAuthenticator":{"type":"object","value":{"type":"phone","key":"phone_number","id":"aut1"}}`
	relates := func(v string) string { return with(formOf("x", "x"), `"relatesTo":`+v) }
	option := func(value string) string {
		return formOf("x", "x", `{"name":"consent","type":"boolean","options":[`+value+`]}`)
	}
	for name, c := range map[string]struct {
		body  string
		check func(*idx.NextStep, *idx.Transaction) string
	}{
		"relatesTo is a list":     {doc([]string{relates(`["$.currentAuthenticator"]`)}, current), wantAuthenticator("phone_number")},
		"relatesTo is a string":   {doc([]string{relates(`"$.currentAuthenticator"`)}, current), wantAuthenticator("phone_number")},
		"relatesTo has no dollar": {doc([]string{relates(`["currentAuthenticator"]`)}, current), wantAuthenticator("phone_number")},
		"relatesTo has an index":  {doc([]string{relates(`["$.authenticators.value[0]"]`)}, phone), wantAuthenticator("phone_number")},
		"relatesTo dangles":       {doc([]string{relates(`["$.authenticators.value[1]"]`)}, phone), wantAuthenticator("")},
		"relatesTo is empty":      {doc([]string{relates(`[]`)}, phone), wantAuthenticator("")},
		"option is a string":      {doc([]string{option(`{"label":"a","value":"yes"}`)}), wantOption("yes")},
		"option is a boolean":     {doc([]string{option(`{"label":"a","value":true}`)}), wantOption(true)},
		"option has no value":     {doc([]string{option(`{"type":"voice"},{"label":"a","value":"yes"}`)}), wantOption("yes")},
		"option form outside of value": {doc([]string{option(`{"label":"a","form":{"value":[{"name":"id","value":"1","mutable":false}]}}`)}),
			func(s *idx.NextStep, _ *idx.Transaction) string {
				return is(s.Inputs[0].Options[0].Inputs[0].Default, "1")
			}},
		"intent in small letters": {doc([]string{formOf("x", "x")}, `"intent":"login"`), func(_ *idx.NextStep, tx *idx.Transaction) string { return is(tx.Intent(), "login") }},
		"success to follow": {doc(nil, `"success":{"name":"success-redirect","href":"https://app.example/home"}`), func(s *idx.NextStep, tx *idx.Transaction) string {
			return is(s.Redirect.String(), "https://app.example/home") + is(tx.Status(), idx.StatusSuccess) + is(tx.RedirectURL().String(), "https://app.example/home")
		}},
		"success to follow, as a remediation": {doc([]string{`{"name":"success-redirect","href":"https://app.example/home","method":"GET"}`}), func(s *idx.NextStep, tx *idx.Transaction) string {
			return is(tx.Status(), idx.StatusSuccess) + is(tx.RedirectURL().String(), "https://app.example/home")
		}},
		"success to follow, drawn as a form": {doc(nil, `"success":{"rel":["create-form"],"name":"success-redirect","href":"https://app.example/home"}`), func(s *idx.NextStep, tx *idx.Transaction) string {
			return is(s.Redirect.String(), "https://app.example/home") + is(tx.RedirectURL().String(), "https://app.example/home")
		}},
		"success that is a script": {doc(nil, `"success":{"name":"success-redirect","href":"javascript:alert(1)"}`), func(s *idx.NextStep, tx *idx.Transaction) string {
			return is(tx.RedirectURL() == nil, true) + is(tx.Status(), idx.StatusPending)
		}},
		"redirect to a script": {doc([]string{`{"name":"redirect-idp","href":"javascript:alert(1)","method":"GET","type":"OIDC","idp":{"id":"1","name":"Evil"}}`}),
			func(s *idx.NextStep, _ *idx.Transaction) string {
				return is(s.Redirect == nil, true) + is(s.IdentityProvider.Name, "Evil")
			}},
		"a group in parts": {doc([]string{formOf("x", "x", `{"name":"userProfile","form":{"value":[{"name":"a","label":"A"}]}}`, `{"name":"userProfile","form":{"value":[{"name":"b","label":"B"}]}}`)}),
			func(s *idx.NextStep, _ *idx.Transaction) string {
				return is(len(s.Inputs), 1) + is(s.Inputs[0].Inputs[1].Name, "b")
			}},
		"a dot in a name": {doc([]string{formOf("x", "x", `{"name":"optedScopes","form":{"value":[{"name":"custom1","type":"boolean","value":true,"label":"a"},{"name":"custom1.custom2","type":"boolean","value":true,"label":"b"}]}}`)}),
			func(s *idx.NextStep, _ *idx.Transaction) string { return is(len(s.Inputs[0].Inputs), 2) }},
	} {
		t.Run(name, func(t *testing.T) {
			_, tx := play(say(200, c.body)).start(t)
			if why := c.check(tx.NextStep(), tx); why != "" {
				t.Error(why)
			}
		})
	}
}

func is(got, want any) string {
	if got != want {
		return fmt.Sprintf("got %v, want %v; ", got, want)
	}
	return ""
}

func wantAuthenticator(key string) func(*idx.NextStep, *idx.Transaction) string {
	return func(s *idx.NextStep, _ *idx.Transaction) string {
		if s.Authenticator == nil {
			return is("", key)
		}
		return is(s.Authenticator.Key, key)
	}
}

func wantOption(v any) func(*idx.NextStep, *idx.Transaction) string {
	return func(s *idx.NextStep, _ *idx.Transaction) string { return is(s.Inputs[0].Options[0].Value, v) }
}

// Bodies: what the engine fixed stays, what it preset can be changed, what it did not ask for is refused.
func TestBodies(t *testing.T) {
	form := formOf("x", "x", identifierField, `{"name":"fixed","value":"f","mutable":false}`, `{"name":"preset","value":"p"}`,
		`{"name":"yes","type":"boolean"}`, `{"name":"optedScopes","form":{"value":[{"name":"a","type":"boolean","value":true},{"name":"a.b","type":"boolean","value":true}]}}`,
		`{"name":"pick","options":[{"label":"1","value":"one"},{"label":"2","value":"two"}]}`)
	base := map[string]any{"stateHandle": "02-secret-state-handle", "fixed": "f", "preset": "p", "optedScopes": map[string]any{"a": true, "a.b": true}}
	for name, c := range map[string]struct {
		v    idx.Values
		want map[string]any // besides base
		path string         // of an InputError
		is   error
	}{
		"nothing":            {},
		"default replaced":   {v: idx.Values{"preset": "q"}, want: map[string]any{"preset": "q"}},
		"fixed repeated":     {v: idx.Values{"fixed": "f"}},
		"fixed changed":      {v: idx.Values{"fixed": "g"}, path: "fixed"},
		"handle changed":     {v: idx.Values{"stateHandle": "forged"}, path: "stateHandle"},
		"unknown name":       {v: idx.Values{"admin": true}, path: "admin"},
		"unknown inner name": {v: idx.Values{"optedScopes.c": true}, path: "optedScopes.c"},
		"dotted path":        {v: idx.Values{"optedScopes.a": false}, want: map[string]any{"optedScopes": map[string]any{"a": false, "a.b": true}}},
		"dot in the name":    {v: idx.Values{"optedScopes.a.b": false}, want: map[string]any{"optedScopes": map[string]any{"a": true, "a.b": false}}},
		"nested":             {v: idx.Values{"optedScopes": idx.Values{"a": "false"}}, want: map[string]any{"optedScopes": map[string]any{"a": false, "a.b": true}}},
		"path and nested":    {v: idx.Values{"optedScopes": map[string]any{"a": false}, "optedScopes.a.b": false}, want: map[string]any{"optedScopes": map[string]any{"a": false, "a.b": false}}},
		"given twice":        {v: idx.Values{"optedScopes": map[string]any{"a": false}, "optedScopes.a": true}, path: "optedScopes.a"},
		"group for a value":  {v: idx.Values{"identifier": map[string]any{"a": 1}}, path: "identifier"},
		"value for a group":  {v: idx.Values{"optedScopes": true}, path: "optedScopes"},
		"no boolean":         {v: idx.Values{"yes": "maybe"}, path: "yes"},
		"boolean as text":    {v: idx.Values{"yes": "true"}, want: map[string]any{"yes": true}},
		"option":             {v: idx.Values{"pick": "two"}, want: map[string]any{"pick": "two"}},
		"no option":          {v: idx.Values{"pick": "three"}, path: "pick", is: idx.ErrNotOffered},
		"no JSON":            {v: idx.Values{"identifier": func() {}}, path: ""},
		"nil is nothing":     {v: idx.Values{"identifier": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(say(200, doc([]string{form})), say(200, doc(nil, successMember)))
			cl, tx := s.start(t)
			_, err := cl.Proceed(t.Context(), tx, "x", c.v)
			var in *idx.InputError
			switch {
			case c.path != "" || name == "no JSON":
				if !errors.As(err, &in) || in.Path != c.path || in.Step != "x" || c.is != nil && !errors.Is(err, c.is) || len(s.requests()) != 1 {
					t.Errorf("error is %v after %d requests", err, len(s.requests()))
				}
			case err != nil:
				t.Error(err)
			default:
				want := map[string]any{}
				for _, m := range []map[string]any{base, c.want} {
					for k, v := range m {
						want[k] = v
					}
				}
				if got := tree(t, s.requests()[1].body); !reflect.DeepEqual(got, want) {
					t.Errorf("sent %v, want %v", got, want)
				}
			}
		})
	}
}
