package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declared reads the constants of Type out of this room, by their names.
func declared(t *testing.T) map[string]Type {
	t.Helper()
	all := map[string]Type{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				kind, _ := spec.Type.(*ast.Ident)
				if value, ok := spec.Values[0].(*ast.BasicLit); ok && kind != nil && kind.Name == "Type" {
					text, err := strconv.Unquote(value.Value)
					if err != nil {
						t.Fatal(err)
					}
					all[spec.Names[0].Name] = Type(text)
				}
			}
			return true
		})
	}
	return all
}

func TestS71_EveryTypeHasAMeaning(t *testing.T) {
	all := slices.Sorted(maps.Values(declared(t)))
	if len(all) < 60 {
		t.Fatalf("only %d constants were found", len(all))
	}
	if known := slices.Sorted(maps.Keys(Meanings)); !slices.Equal(all, known) {
		t.Errorf("declared\n%v\nwith a meaning in meanings.go\n%v", all, known)
	}
	for _, name := range all {
		if strings.ToLower(string(name)) != string(name) || strings.ContainsAny(string(name), " _-/") || !strings.Contains(string(name), ".") {
			t.Errorf("%q is not spelled as the others are", name)
		}
	}
}

func TestS71_EveryTypeIsRecordedSomewhere(t *testing.T) {
	never := declared(t)
	for _, dir := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			source, err := os.ReadFile(name)
			for _, used := range regexp.MustCompile(`\baudit\.([A-Z]\w+)`).FindAllSubmatch(source, -1) {
				delete(never, string(used[1]))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range never {
		t.Errorf("nothing leaves an event of %s", name)
	}
}

func TestS71_EachKindOfThingHasAType(t *testing.T) {
	for what, types := range map[string][]Type{
		"every authentication step": {FlowBegun, IdentifyOK, PasswordOK, PasswordWrong, CodeSent, CodeOK, CodeWrong, StepSkipped, SignedIn, FlowCancelled},
		"message sent or refused":   {MessageSent, MessageRefused, MessageFailed, CodeNotSent},
		"limit hit":                 {LimitHit, CodeExhausted, BudgetNear},
		"lock":                      {FactorSuspended, AccountLocked, SourceRefused},
		"factor change":             {FactorEnrolled, FactorRemoved, FactorReset, PasswordSet},
		"token issue":               {TokensIssued, TokensRefreshed},
		"refresh reuse":             {RefreshReused, CodeReplayed},
		"revocation":                {TokenRevoked},
		"admin action":              {UserCreated, AppCreated, GroupCreated, BackupMade, LogExported, KeysReplaced},
	} {
		for _, one := range types {
			if Meanings[one] == "" {
				t.Errorf("%s: no type", what)
			}
		}
	}
}
