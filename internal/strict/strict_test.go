package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type colour string

func (c *colour) UnmarshalText(text []byte) error {
	if len(text) != 7 {
		return errors.New("no")
	}
	*c = colour(text)
	return nil
}

func (colour) Kind() string { return "a colour like #00ff00" }

type room struct {
	Name      string         `yaml:"name"`
	Wide      int            `yaml:"wide"`
	Warm      bool           `yaml:"warm"`
	Share     float64        `yaml:"share"`
	Open      time.Duration  `yaml:"open"`
	From      []netip.Prefix `yaml:"from"`
	Paint     colour         `yaml:"paint"`
	Keys      map[int]string `yaml:"keys"`
	Next      *room          `yaml:"next"`
	Unwritten string         `yaml:"-"`
	//lint:ignore U1000 nobody reads it, and it must not become a key
	private string
}

func TestWhatIsRightIsRead(t *testing.T) {
	got := room{Name: "kept", Share: 0.5}
	p := &Problems{File: "room.yaml"}
	text := "# a room\nwide: 3\nwarm: true\nopen: 90s\nfrom: [10.0.0.0/8]\npaint: '#102030'\nkeys: {7: door}\nname: \nnext: &n\n  name: inner\n"
	if err := errors.Join(Read([]byte(text), &got, p), p.Err()); err != nil {
		t.Fatal(err)
	}
	want := room{
		Name: "kept", Share: 0.5, Wide: 3, Warm: true, Open: 90 * time.Second, From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Paint: "#102030", Keys: map[int]string{7: "door"}, Next: &room{Name: "inner"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	for path, line := range map[string]int{"wide": 3 - 1, "from[0]": 5, "keys.7": 7, "next.name": 10, "next.nothing": 9, "elsewhere": 0, "from[3].x": 5} {
		if got := p.Lines.Of(path); got != line {
			t.Errorf("%s stands in line %d, want %d", path, got, line)
		}
	}
}

func TestWhatIsWrongIsSaidWithFileAndLine(t *testing.T) {
	keys := "name, wide, warm, share, open, from, paint, keys, next"
	for name, test := range map[string]struct{ text, want string }{
		"misspelled":             {"wide: 1\nnaem: x\n", `room.yaml:2: naem: there is no such key; is it "name"?`},
		"of another world":       {"kubernetes: 1\n", "room.yaml:1: kubernetes: there is no such key; there are " + keys},
		"not for files":          {"unwritten: 1\nprivate: 2\n", "room.yaml:1: unwritten: there is no such key; there are " + keys + "\nroom.yaml:2: private: there is no such key; there are " + keys},
		"deep":                   {"next:\n  next:\n    wide: x\n", `room.yaml:3: next.next.wide: "x" is not a whole number`},
		"twice":                  {"wide: 1\nwide: 2\n", "room.yaml:2: wide: is there twice"},
		"twice in a table":       {"keys:\n  1: a\n  0x1: b\n", "room.yaml:3: keys.0x1: is there twice"},
		"no key of a table":      {"keys:\n  a: b\n", `room.yaml:2: keys: "a" is not a whole number`},
		"no table":               {"keys: []\n", "room.yaml:1: keys: is a table of keys and values"},
		"a number for text":      {"name: 0123\n", `room.yaml:1: name: write "0123" in quotes: it is text`},
		"a truth for text":       {"name: true\n", `room.yaml:1: name: write "true" in quotes: it is text`},
		"on for true":            {"warm: on\n", `room.yaml:1: warm: "on" is not true or false`},
		"a number for a time":    {"open: 30\n", `room.yaml:1: open: "30" is not a time like 90s or 24h`},
		"no number":              {"share: most\n", `room.yaml:1: share: "most" is not a number`},
		"no network":             {"from:\n  - 10.0.0.0/8\n  - 10.0.0.1\n", `room.yaml:3: from[1]: "10.0.0.1" is not a network like 10.0.0.0/8`},
		"its own kind of value":  {"paint: red\n", `room.yaml:1: paint: "red" is not a colour like #00ff00`},
		"a list for a value":     {"wide: [1]\n", "room.yaml:1: wide: is a whole number, not a list or a section"},
		"a value for a list":     {"from: 10.0.0.0/8\n", "room.yaml:1: from: is a list"},
		"a value for a section":  {"next: x\n", "room.yaml:1: next: has keys of its own: " + keys},
		"a list for the whole":   {"- 1\n", "room.yaml:1: has keys of its own: " + keys},
		"all of it, in order":    {"next: {wide: x}\nwide: y\nfrom: z\n", "room.yaml:1: next.wide: \"x\" is not a whole number\nroom.yaml:2: wide: \"y\" is not a whole number\nroom.yaml:3: from: is a list"},
		"said where it is used":  {"name: &n 5\nnext:\n  name: *n\n", "room.yaml:1: name: write \"5\" in quotes: it is text\nroom.yaml:3: next.name: write \"5\" in quotes: it is text"},
		"what contains itself":   {"next: &n\n  next: *n\n", "room.yaml:2: next" + strings.Repeat(".next", deepest) + ": is nested too deeply"},
		"two documents":          {"wide: 1\n---\nwide: 2\n", "room.yaml: there is a second document in it"},
		"no YAML":                {"wide: 1\n  name: [\n", "room.yaml: line 2: mapping values are not allowed in this context"},
		"nothing":                {"# only a comment\n", ""},
		"a key that is a list":   {"[1]: 2\n", "room.yaml:1: there is no such key; there are " + keys},
		"a key that is an alias": {"name: &n wide\n*n : 3\n", "room.yaml:2: n: there is no such key; there are " + keys},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Problems{File: "room.yaml"}
			err := Read([]byte(test.text), &room{}, p)
			if err == nil {
				err = p.Err()
			}
			if err == nil && test.want != "" || err != nil && err.Error() != test.want {
				t.Errorf("said\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

func TestWhatMakesNoSenseIsSaidAtItsLineToo(t *testing.T) {
	p := &Problems{File: "room.yaml"}
	if err := Read([]byte("wide: 0\nfrom: []\n"), &room{}, p); err != nil {
		t.Fatal(err)
	}
	p.At("from[0]", "is missing")
	p.At("wide", "is %d", 0)
	p.At("paint", "is left out")
	const want = "room.yaml: paint: is left out\nroom.yaml:1: wide: is 0\nroom.yaml:2: from[0]: is missing"
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("said\n%v\nwant\n%s", err, want)
	}
	doc, err := json.Marshal(p)
	if want := `{"file":"room.yaml","problems":[{"path":"paint","said":"is left out"},{"line":1,"path":"wide","said":"is 0"},{"line":2,"path":"from[0]","said":"is missing"}]}`; err != nil || string(doc) != want {
		t.Errorf("as JSON %s, %v", doc, err)
	}
	none := &Problems{}
	if none.Err() != nil {
		t.Error("nothing is an error")
	}
	none.At("wide", "is 0")
	if got := fmt.Sprint(none.Err()); got != "wide: is 0" {
		t.Errorf("without a file it says %q", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("wide: 1\nnext: {name: x}\nkeys: {1: a}\n"))
	f.Add([]byte("next: &n\n  next: *n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p := &Problems{File: "f"}
		if err := Read(text, &room{}, p); err != nil && !strings.HasPrefix(err.Error(), "f: ") {
			t.Errorf("said %v", err)
		}
		for _, one := range p.All {
			if one.Line < 1 || one.Said == "" {
				t.Errorf("a problem is nowhere: %+v", one)
			}
		}
	})
}
