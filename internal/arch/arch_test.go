package arch

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheHouseStandsAsPlanned(t *testing.T) {
	problems, err := Check(os.DirFS("../.."), Floors)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Error(problem)
	}
}

// small is a plan with one of everything.
var small = []Floor{
	{Name: "ground", Rooms: []Room{{Path: "word"}, {Path: "kit", Own: true, Tests: true}}},
	{Name: "core", Rooms: []Room{{Path: "core/flow"}, {Path: "core/rule"}}, Pure: true},
	{Name: "plug-ins", Rooms: []Room{{Path: "plug/*"}, {Path: "friend", Beside: []string{"plug/one"}}}, Never: []string{"core/flow"}},
	{Name: "client", Rooms: []Room{{Path: "client", Own: true}}},
	{Name: "door", Rooms: []Room{{Path: "cmd"}}, Never: []string{"database/sql/..."}},
}

func TestEveryMistakeIsFound(t *testing.T) {
	const here = "package x\n"
	tests := map[string]struct {
		files map[string]string
		want  []string // one piece of each problem, in order
	}{
		"down is where imports point": {
			files: map[string]string{
				"cmd/main.go":   here + `import ("fmt"; "house/plug/one"; "house/core/flow")`,
				"plug/one/a.go": here + `import "house/core/rule"`,
			},
		},
		"a room that is missing from the plan": {
			files: map[string]string{"attic/a.go": here},
			want:  []string{"attic is missing from the plan"},
		},
		"a folder below a room is a room of its own": {
			files: map[string]string{"word/inner/a.go": here},
			want:  []string{"word/inner is missing"},
		},
		"an import of a room that is missing": {
			files: map[string]string{"cmd/a.go": here + `import "house/attic"`},
			want:  []string{"cmd imports attic: it is missing"},
		},
		"up": {
			files: map[string]string{"word/a.go": here + `import "house/core/flow"`},
			want:  []string{`word imports core/flow: up, from "ground" to "core"`},
		},
		"sideways": {
			files: map[string]string{"core/flow/a.go": here + `import "house/core/rule"`},
			want:  []string{`core/flow imports core/rule: sideways`},
		},
		"sideways between rooms of one star": {
			files: map[string]string{"plug/two/a.go": here + `import "house/plug/one"`},
			want:  []string{`plug/two imports plug/one: sideways`},
		},
		"sideways where the plan says so": {
			files: map[string]string{"friend/a.go": here + `import "house/plug/one"`},
		},
		"down, but not this one": {
			files: map[string]string{"plug/one/a.go": here + `import "house/core/flow"`},
			want:  []string{`plug/one imports core/flow: the floor "plug-ins" does without`},
		},
		"a tree of packages": {
			files: map[string]string{"cmd/a.go": here + `import ("database/sql"; _ "database/sql/driver")`},
			want:  []string{"cmd imports database/sql/driver:", "cmd imports database/sql:"},
		},
		"somebody else's package in a room of its own": {
			files: map[string]string{"client/a.go": here + `import ("net/http"; "example.com/lib")`},
			want:  []string{"client imports example.com/lib: this room is the standard library"},
		},
		"one of ours in a room of its own": {
			files: map[string]string{"client/a.go": here + `import "house/word"`},
			want:  []string{"client imports word: this room is the standard library"},
		},
		"a pure room that logs": {
			files: map[string]string{"core/flow/a.go": here + `import "log/slog"`},
			want:  []string{"core/flow imports log/slog"},
		},
		"a pure room that looks at the clock": {
			files: map[string]string{"core/flow/a.go": here + "import \"time\"\nvar T = time.Now"},
			want:  []string{"core/flow uses time.Now"},
		},
		"a pure room that looks at the clock under another name": {
			files: map[string]string{"core/flow/a.go": here + "import t \"time\"\nfunc f() { t.Sleep(t.Second) }"},
			want:  []string{"core/flow uses time.Sleep"},
		},
		"a pure room may speak of time": {
			files: map[string]string{"core/flow/a.go": here + "import \"time\"\nvar D = 5 * time.Minute"},
		},
		"package testing in the product": {
			files: map[string]string{"word/a.go": here + `import "testing"`, "kit/a.go": here + `import "testing"`},
			want:  []string{"word imports testing"},
		},
		"test files are free": {
			files: map[string]string{"word/a_test.go": here + `import ("house/cmd"; "testing"; "example.com/lib")`},
		},
		"what is not ours to inspect": {
			files: map[string]string{
				"word/testdata/a.go": here + `import "house/cmd"`,
				".cache/a.go":        here,
				"tools/go.mod":       "module tools\n",
				"tools/a.go":         here,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{"go.mod": {Data: []byte("module house\n\ngo 1.26\n")}}
			for name, source := range test.files {
				tree[name] = &fstest.MapFile{Data: []byte(source)}
			}
			problems, err := Check(tree, small)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(problems, test.want, strings.Contains) {
				t.Errorf("found %q, want %q", problems, test.want)
			}
		})
	}
}

func TestSourceThatDoesNotParseIsAnError(t *testing.T) {
	tree := fstest.MapFS{
		"go.mod":    {Data: []byte("module house\n")},
		"word/a.go": {Data: []byte("package x\nimport")},
	}
	if _, err := Check(tree, small); err == nil {
		t.Error("a file that cannot be read was passed over")
	}
}

func TestThePlanNamesEachRoomOnce(t *testing.T) {
	seen := map[string]string{}
	for _, floor := range Floors {
		for _, room := range floor.Rooms {
			if other, ok := seen[room.Path]; ok {
				t.Errorf("%s stands on the floors %q and %q", room.Path, other, floor.Name)
			}
			seen[room.Path] = floor.Name
		}
	}
}
