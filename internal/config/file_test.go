package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/strict"
)

// complete is a file that production takes, with a master key that is there.
func complete(t *testing.T) string {
	key := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(key, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "origin: https://id.example\ndata: /var/lib/latchkey\ncountries: [1, 49]\nkeys:\n  master:\n    - file: " + key + "\n"
}

func TestReadPutsTheFileOverTheDefaults(t *testing.T) {
	t.Setenv("THE_DATABASE", "postgres://there")
	c, err := parse("latchkey.yaml", []byte(complete(t)+`
listen: :443
proxies: [10.0.0.0/8, "fd00::/8"]
unknown_users: reveal
database:
  postgres:
    url: {env: THE_DATABASE}
flow:
  idle: 30m
codes: {tries: 3}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":443" || len(c.Proxies) != 2 || c.UnknownUsers != Reveal || c.Flow.Idle != 30*time.Minute || c.Flow.Absolute != 2*time.Hour || c.Codes.Tries != 3 {
		t.Errorf("read %+v", c)
	}
	if got := c.Database.Postgres.URL.Text().Reveal(); got != "postgres://there" {
		t.Errorf("the database is %q", got)
	}
	if got := c.Keys.Master; len(got) != 1 || got[0].File == "" {
		t.Errorf("the master keys are %v", got)
	}
}

func TestReadNamesEveryProblemWithItsLine(t *testing.T) {
	tests := map[string]struct {
		more string
		want []string // a piece of each, in order
	}{
		"complete":             {"", nil},
		"misspelled":           {"listne: :443\nproxies: [10.0.0.0/8]\n", []string{`latchkey.yaml:7: listne: there is no such key; is it "listen"?`}},
		"misspelled, deep":     {"codes:\n  trys: 3\n", []string{`latchkey.yaml:8: codes.trys: there is no such key; is it "tries"?`}},
		"of another world":     {"kubernetes: yes\n", []string{"latchkey.yaml:7: kubernetes: there is no such key"}},
		"twice":                {"data: /elsewhere\n", []string{"latchkey.yaml:7: data: is there twice"}},
		"words for a number":   {"codes: {tries: many}\n", []string{`codes.tries: "many" is not a whole number`}},
		"a number for a time":  {"flow:\n  idle: 30\n", []string{`latchkey.yaml:8: flow.idle: "30" is not a time like 90s or 24h`}},
		"a number for text":    {"listen: 443\n", []string{`latchkey.yaml:7: listen: write "443" in quotes: it is text`}},
		"no network":           {"proxies: [10.0.0.1]\n", []string{`latchkey.yaml:7: proxies[0]: "10.0.0.1" is not a network`}},
		"a list for a section": {"codes: [1]\n", []string{"codes: has keys of its own"}},
		"a section for a list": {"proxies: {a: b}\n", []string{"proxies: is a list"}},
		"two of two kinds": {"codes: {tries: 0}\nflow:\n  idle: 9h\n",
			[]string{"latchkey.yaml:7: codes.tries: 0 is not between", "latchkey.yaml:9: flow.idle: 9h0m0s is not between"}},
		"a secret from nowhere":         {"database: {postgres: {url: {env: NOBODY_SET_THIS}}}\n", []string{"database.postgres.url: the environment has no NOBODY_SET_THIS"}},
		"a secret from two places":      {"database: {postgres: {url: {env: A, file: B}}}\n", []string{"not from both"}},
		"a secret in the file":          {"database: {postgres: {url: postgres://me:pw@there}}\n", []string{"database.postgres.url: has keys of its own"}},
		"two databases":                 {"database: {sqlite: {}, postgres: {url: {env: PATH}}}\n", []string{"sqlite or postgres, not both"}},
		"https that nobody speaks":      {"listen: :443\n", []string{"tls: nobody speaks https"}},
		"a certificate without its key": {"tls: {cert: a.pem}\n", []string{"tls: a certificate and its key come together"}},
		"ACME without consent":          {"tls: {acme: {email: ops@id.example}}\n", []string{"tls.acme.accept_terms"}},
		"another mode":                  {"unknown_users: shrug\n", []string{"S-24"}},
		"a second document":             {"---\nlisten: :1\n", []string{"a second document"}},
		"no YAML":                       {"\tlisten\n", []string{"latchkey.yaml: "}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse("latchkey.yaml", []byte(complete(t)+test.more))
			var problems []string
			if err != nil {
				problems = strings.Split(err.Error(), "\n")
			}
			if len(problems) != len(test.want) {
				t.Fatalf("found %q, want %q", problems, test.want)
			}
			for i := range problems {
				if !strings.Contains(problems[i], test.want[i]) {
					t.Errorf("found %q, want %q", problems[i], test.want[i])
				}
			}
		})
	}
}

func TestAnEmptyFileSaysWhatIsMissing(t *testing.T) {
	_, err := parse("latchkey.yaml", []byte("# nothing yet\n"))
	for _, want := range []string{"latchkey.yaml: data: ", "latchkey.yaml: origin: ", "countries", "keys.master"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("says %v, want something about %s", err, want)
		}
	}
}

func TestWhatPrintDefaultPrintsIsTheDefault(t *testing.T) {
	printed := PrintDefault()
	p := &strict.Problems{}
	c := Default()
	c.Codes.Tries, c.Flow.Idle, c.Listen = 99, 1, "" // what is printed must say these again
	if err := errors.Join(strict.Read(printed, &c, p), p.Err()); err != nil {
		t.Fatalf("%v in\n%s", err, printed)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("reads as %+v, want %+v from\n%s", c, Default(), printed)
	}
}

func TestEverySettingIsPrintedAndExplained(t *testing.T) {
	printed := string(PrintDefault())
	var walk func(t *testing.T, typ reflect.Type, path string)
	walk = func(t *testing.T, typ reflect.Type, path string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || strict.Scalar(typ) {
			return
		}
		for name, f := range strict.Fields(typ) {
			at := strict.Join(path, name)
			if f.Tag.Get("doc") == "" {
				t.Errorf("%s has no word about it", at)
			}
			if !strings.Contains(printed, name+":") {
				t.Errorf("%s is not printed", at)
			}
			walk(t, f.Type, at)
		}
	}
	walk(t, reflect.TypeFor[Config](), "")
}

func TestTheSchemaIsOne(t *testing.T) {
	var schema struct {
		Properties           map[string]any
		AdditionalProperties *bool `json:"additionalProperties"`
	}
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	if len(schema.Properties) != len(strict.Fields(reflect.TypeFor[Config]())) || schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		t.Errorf("the schema is %s", Schema())
	}
}

// Whatever a file holds, reading it ends with a Config that is checked, or with an error that names the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte("listen: :443\ncodes: {tries: 3}\n"))
	f.Add(PrintDefault())
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parse("latchkey.yaml", text)
		if err == nil {
			if err := c.Check(); err != nil {
				t.Errorf("took what Check refuses: %v", err)
			}
		} else if !strings.HasPrefix(err.Error(), "latchkey.yaml:") {
			t.Errorf("does not name the file: %v", err)
		}
	})
}
