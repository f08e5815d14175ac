// Package docs_test holds the documents to what is there.
package docs_test

import (
	"bytes"
	"flag"
	"fmt"
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

var update = flag.Bool("update", false, "write the table of security.md anew")

// requirements are those that the sign-in and the server answer for, in a few words each. The rules themselves are in the
// project's security requirements, by the same numbers.
var requirements = map[int]string{
	1: "passwords at rest: Argon2id, bounded work", 2: "length of passwords", 3: "passwords that are refused", 4: "changing and resetting a password",
	5: "reset messages", 6: "nothing is built in", 7: "how codes are made", 8: "how long a code lives", 9: "wrong answers per code",
	10: "wrong answers per account", 11: "counted before compared", 12: "a code opens what it was sent for", 13: "a code opens once",
	14: "sending again", 15: "words of a text message", 16: "entropy and kinds of handles", 17: "what a flow is bound to", 18: "how long things live",
	19: "order of steps", 20: "unknown fields", 21: "switching the user", 22: "enrolled means verify", 23: "the end of a flow", 24: "unknown users",
	25: "time tells nothing", 26: "wrong passwords", 27: "no lock is a weapon", 28: "one name, one counter", 29: "every door has the same counters",
	30: "numbers that are texted", 31: "countries that are texted", 32: "messages to a number", 33: "messages for an account",
	34: "messages from a source, and to a prefix", 35: "what messages may cost", 36: "answers of the sending limits", 37: "what is shown of a number",
	38: "another phone", 39: "cookies",
	40: "sessions", 41: "forged requests", 42: "CORS", 43: "headers of pages", 44: "headers of the API", 45: "open redirects", 46: "host and proxies",
	47: "sizes", 48: "form of what is sent", 49: "methods and paths", 50: "slow and broken HTTP", 51: "errors", 52: "general limits", 54: "redirect URIs", 55: "PKCE",
	56: "codes are redeemed once", 57: "parameters and grants", 58: "client authentication", 59: "lifetimes of tokens",
	60: "refresh tokens", 61: "use of access tokens", 62: "algorithms", 63: "introspection and revocation", 64: "authorization responses", 65: "logout",
	66: "metadata is true", 67: "sealed at rest", 68: "only digests are kept", 69: "rotation of signing keys", 70: "files and master keys",
	71: "audit events", 72: "what is never logged", 73: "integrity of the audit log", 74: "what operators see, apart",
	75: "acknowledged means durable", 76: "power loss", 77: "disk full, read-only, locked", 78: "shutdown", 79: "several nodes", 80: "database failover",
	81: "gateways that fail", 82: "clocks", 83: "backup and restore", 84: "upgrades", 85: "overload", 86: "growth",
	87: "dependencies and their licences", 88: "builds and images",
}

// unmet says of which requirements something is missing, and what. An entry goes when its reason does.
var unmet = map[int]string{
	3:  "The built-in list is about 600 words, found in pairs and behind their usual decorations. That refuses more than the 10,000 that S-03 asks for, but is no list of passwords seen in leaks, and there is no breached set on disk.",
	4:  "A password can be changed by its owner on the account pages, and set by an operator. It cannot be reset by its owner yet.",
	5:  "No reset messages are sent yet.",
	25: "A name whose password hash came with an import costs what that hash costs, not what ours costs, until its owner has signed in once: until then the time of a wrong password tells that somebody has the name.",
	44: "A successful IDX answer has no charset parameter: clients compare its type to the letter. See departures.md.",
	47: "A phone number may have 40 bytes as typed, not 20: people write spaces and brackets. What remains of it has at most 16.",
	50: "A request with both a length and chunks is not refused: net/http drops the length before anybody sees it. The chunks count, and the connection is closed after the answer.",
	84: "No version has been released, so no two of them serve side by side under load in a test yet. What schema 7 has begun is finished by this one, and what a newer one has written is kept.",
	87: "The list of known vulnerabilities is on the network: where it cannot be reached, make lint says so and passes. Nothing looks every week by itself.",
	88: "No release has been signed yet. SHA256SUMS is what is to be signed; see operating.md. The image has not been built where there is a registry.",
}

// TestSecurityMap holds security.md: no requirement has neither a test nor a word about why, no test that the
// page names is gone, and what is missing is said. A new test may wait for the page to be written anew.
func TestSecurityMap(t *testing.T) {
	held := tests(t, "..")
	for n, title := range requirements {
		if len(held[n]) == 0 && unmet[n] == "" {
			t.Errorf("S-%02d (%s) has no test, and nothing says why", n, title)
		}
	}
	for n := range unmet {
		if requirements[n] == "" {
			t.Errorf("S-%02d is said to be unmet and is not on the list", n)
		}
	}
	const file = "security.md"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := bytes.Cut(old, []byte(begin))
	if !ok {
		t.Fatalf("%s has no line %q", file, begin)
	}
	if want := append(slices.Clone(head), page(held)...); *update && !bytes.Equal(old, want) {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Contains(old, missing()) {
		t.Error("what is missing reads differently: run make security-map")
	}
	for n, row := range rows(old) {
		for _, name := range row {
			if !slices.Contains(held[n], name) {
				t.Errorf("S-%02d: %s is gone: run make security-map", n, name)
			}
		}
		if len(row) == 0 && unmet[n] == "" {
			t.Errorf("S-%02d has no test on the page: run make security-map", n)
		}
	}
}

var row = regexp.MustCompile(`(?m)^\| S-(\d\d) \| [^|]* \| (.*) \|$`)

// rows reads the table back.
func rows(page []byte) map[int][]string {
	found := map[int][]string{}
	for n := range requirements {
		found[n] = nil
	}
	for _, m := range row.FindAllSubmatch(page, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		if len(m[2]) > 0 {
			found[n] = strings.Split(string(m[2]), "<br>")
		}
	}
	return found
}

const begin = "<!-- What follows is written by make security-map. -->\n"

func missing() []byte {
	var b bytes.Buffer
	for _, n := range slices.Sorted(maps.Keys(unmet)) {
		fmt.Fprintf(&b, "- **S-%02d**, %s. %s\n", n, requirements[n], unmet[n])
	}
	return b.Bytes()
}

func page(held map[int][]string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n## What is missing\n\n%s", begin, missing())
	b.WriteString("\n## What holds which rule\n\n| | rule | tests |\n|---|---|---|\n")
	for _, n := range slices.Sorted(maps.Keys(requirements)) {
		names := slices.Sorted(slices.Values(held[n]))
		fmt.Fprintf(&b, "| S-%02d | %s | %s |\n", n, requirements[n], strings.Join(slices.Compact(names), "<br>"))
	}
	return b.Bytes()
}

// tests finds every test with a number in its name, Go's and those in JavaScript, by number.
func tests(t *testing.T, root string) map[int][]string {
	t.Helper()
	held := map[int][]string{}
	add := func(where, name string) {
		for _, n := range numbers(name) {
			held[n] = append(held[n], fmt.Sprintf("%s: `%s`", where, strings.ReplaceAll(name, "|", `\|`)))
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root):
			return filepath.SkipDir
		}
		where := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), root+string(filepath.Separator)))
		switch {
		case strings.HasSuffix(path, "_test.go"), filepath.Base(filepath.Dir(path)) == "storetest" && strings.HasSuffix(path, ".go"):
			return inGo(path, func(name string) { add(where, name) })
		case strings.HasSuffix(path, ".test.mjs"):
			text, err := os.ReadFile(path)
			for _, m := range inJS.FindAllSubmatch(text, -1) {
				add(where, string(m[1]))
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

var (
	inJS     = regexp.MustCompile(`(?:test|describe|it)\(['"` + "`" + `]([^'"` + "`" + `]*S-\d\d[^'"` + "`" + `]*)`)
	numbered = regexp.MustCompile(`S-?(\d\d)\b|S(\d\d)_`)
)

func numbers(name string) (all []int) {
	for _, m := range numbered.FindAllStringSubmatch(name, -1) {
		n, _ := strconv.Atoi(m[1] + m[2])
		all = append(all, n)
	}
	return all
}

// inGo finds test functions, and the names of cases: keys of tables, and what t.Run is told.
func inGo(path string, found func(string)) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		in := ""
		if ok && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
			found(f.Name.Name)
			in = f.Name.Name + "/"
		}
		ast.Inspect(d, func(n ast.Node) bool {
			var name ast.Expr
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				name = n.Key
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Run" && len(n.Args) == 2 {
					name = n.Args[0]
				}
			}
			if sum, ok := name.(*ast.BinaryExpr); ok {
				name = sum.X // "S-49 " + method
			}
			if s, ok := name.(*ast.BasicLit); ok && s.Kind == token.STRING {
				if text, err := strconv.Unquote(s.Value); err == nil && strings.Contains(text, "S-") {
					found(in + strings.TrimSpace(text))
				}
			}
			return true
		})
	}
	return nil
}
