package org_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/store"
)

// taken in with it: bcrypt, of "Correct-Horse-1".
const foreign = "$2b$10$abcdefghijklmnopqrstuuydpZfl1gmRl6J.6.mOUEUEhi5jCvrby"

// A desk is a file to import and where its rejects go.
type desk struct {
	in   org.Import
	file *os.File
}

func newDesk(t testing.TB, f org.Format, text string) *desk {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rejects")
	d := &desk{in: org.Import{File: strings.NewReader(text), Size: int64(len(text)), Format: f}}
	d.in.Ledger = func() (org.Ledger, error) {
		var err error
		d.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		return d.file, err
	}
	t.Cleanup(func() { d.file.Close() })
	return d
}

type rejected struct {
	Line        int
	Reason, Row string
}

func (d *desk) rejects(t testing.TB) (all []rejected) {
	t.Helper()
	if d.file == nil {
		return nil
	}
	text, err := os.ReadFile(d.file.Name())
	must(t, err)
	for line := range bytes.Lines(text) {
		var r rejected
		must(t, json.Unmarshal(line, &r))
		all = append(all, r)
	}
	return all
}

func count(t testing.TB, o *org.Org) (n int) {
	t.Helper()
	must(t, o.Store.View(ctx, func(tx store.Tx) (err error) { n, err = tx.CountUsers(ctx); return err }))
	return n
}

func TestImport(t *testing.T) {
	lines := []string{
		`{"login":"ada@example.com","given_name":"Ada","family_name":"Lovelace","email":"ada@example.com","email_verified":true,"locale":"en_GB","zoneinfo":"Europe/London","phone":"+1 202 555 0143","password_hash":"` + foreign + `","groups":["Staff"],"created":"2020-02-03T04:05:06Z"}`,
		``,
		`{"login":"bob@example.com","id":"00u1234567890ABCDEFG","status":"suspended"}`,
		`{"login":"carol@example.com","nickname":"c"}`,
		`{"login":"mаry@example.com"}`, // a Cyrillic letter in it
		`{"login":"dan@example.com","password_hash":"$2b$31$abcdefghijklmnopqrstuuydpZfl1gmRl6J.6.mOUEUEhi5jCvrby"}`,
		`{"login":"eve@example.com","phone":"+19005550143","groups":["nobodies"]}`,
		`{"login":"ADA@example.com"}`,
		`{"login":"frank@example.com"`,
		`{"login":7}`,
		`{"login":"` + strings.Repeat("x", 70_000) + `"}`,
		`{"login":"bob@example.com"}`,
		`{"login":"grace@example.com"}`,
	}
	onBoth(t, func(t *testing.T, o *org.Org) {
		_, err := o.AddGroup(ctx, "staff", "")
		must(t, err)
		d := newDesk(t, org.JSONLines, strings.Join(lines, "\n"))
		got, err := o.Import(ctx, d.in)
		if err != nil || got.Added != 3 || got.Rejected != 9 || got.Line != len(lines) || got.Offset != d.in.Size {
			t.Fatalf("%+v, %v", got, err)
		}
		all := d.rejects(t)
		for i, want := range []struct {
			line   int
			reason string
		}{
			{4, "unknown field"}, {5, "cannot be anybody's"}, {6, "cost 31"}, {7, `service number; groups: there is no group "nobodies"`}, {8, "already"},
			{9, "unexpected EOF"}, {10, "login: is a number"}, {11, "longer than"}, {12, "already"},
		} {
			if i >= len(all) || all[i].Line != want.line || !strings.Contains(all[i].Reason, want.reason) {
				t.Errorf("rejected %d: %+v, want line %d because %q", i, all[i], want.line, want.reason)
			} else if want.line != 11 && all[i].Row != lines[want.line-1] {
				t.Errorf("the row of line %d is kept as %q", want.line, all[i].Row)
			}
		}
		for _, r := range all {
			if strings.Contains(r.Reason, "5550143") || strings.Contains(r.Reason, "$2b$") {
				t.Errorf("S-72: a reason with a number or a hash: %s", r.Reason)
			}
		}
		ada, err := o.User(ctx, "ada@example.com")
		must(t, err)
		if u := ada.User; u.GivenName != "Ada" || !u.EmailVerified || u.Created.Year() != 2020 || u.Status != ident.Active || len(ada.Factors) != 2 || !slices.Equal(ada.Groups, []string{"staff"}) {
			t.Errorf("taken in: %+v", ada)
		}
		if hint := ada.Factors[1].Enrollment.Hint; hint != "+1 XXX-XXX-0143" {
			t.Errorf("S-37: the number is shown as %s", hint)
		}
		if v := verify(t, o, ada.User.ID, "Correct-Horse-1"); !v.OK || !strings.HasPrefix(v.Replace.Reveal(), "$argon2id$") {
			t.Errorf("S-01: signing in: %v, replaced by %s", v.OK, v.Replace.Reveal())
		}
		if bob, err := o.User(ctx, "00u1234567890ABCDEFG"); err != nil || bob.User.Status != ident.Suspended {
			t.Errorf("an id that was given: %+v, %v", bob, err)
		}
		if e := last(events(t, o)); e.Type != audit.UsersImported || !strings.Contains(e.Reason, "3 users of lines 1 to 13; 9 rows rejected") {
			t.Errorf("S-71: recorded %+v", e)
		}
		if more, err := o.Import(ctx, func() org.Import { in := d.in; in.Resume = true; return in }()); err != nil || more != got || len(d.rejects(t)) != 9 {
			t.Errorf("going on with what is done: %+v, %v", more, err)
		}
		// Without that it is another import of the same file.
		if got, err = o.Import(ctx, newDesk(t, org.JSONLines, strings.Join(lines, "\n")).in); err != nil || got.Added != 0 || got.Rejected != 12 {
			t.Errorf("imported again: %+v, %v", got, err)
		}
	})
}

func TestImportCSV(t *testing.T) {
	const text = "\ufefflogin,given_name,groups,email_verified,phone\n" +
		"ada,\"Ada, \"\"the first\"\"\",staff;crew,,\n" +
		"bob,two,many,columns,here,are\n" +
		"carol,\"a \"bare\" quote\",,,\n" +
		"\n" +
		"dan,Dan,,maybe,\n" +
		"eve,Eve,,,+12025550143\n"
	onBoth(t, func(t *testing.T, o *org.Org) {
		for _, name := range []string{"staff", "crew"} {
			_, err := o.AddGroup(ctx, name, "")
			must(t, err)
		}
		d := newDesk(t, org.CSV, text)
		got, err := o.Import(ctx, d.in)
		if err != nil || got.Added != 2 || got.Rejected != 3 {
			t.Fatalf("%+v, %v\n%+v", got, err, d.rejects(t))
		}
		for i, want := range []rejected{{3, "6 columns", "bob,two,many,columns,here,are"}, {4, "quote", `carol,"a "bare" quote",,,`}, {6, "true or false", "dan,Dan,,maybe,"}} {
			r := d.rejects(t)[i]
			if r.Line != want.Line || !strings.Contains(r.Reason, want.Reason) || r.Row != want.Row {
				t.Errorf("rejected %+v, want %+v", r, want)
			}
		}
		if p, err := o.User(ctx, "ada"); err != nil || p.User.GivenName != `Ada, "the first"` || len(p.Groups) != 2 {
			t.Errorf("%+v, %v", p, err)
		}
		for header, want := range map[string]string{"login,nick\n": "no column", "given_name\n": "no login", "login,login\n": "twice", "": "cannot be read"} {
			_, err := o.Import(ctx, newDesk(t, org.CSV, header).in)
			refused(t, err, want)
		}
	})
}

// manyRows writes rows of which each hundredth is wrong, and each hundredth is there already.
func manyRows(n int, f org.Format) string {
	var b strings.Builder
	if f == org.CSV {
		b.WriteString("login,given_name\n")
	}
	for i := range n {
		login := fmt.Sprintf("user%07d@example.com", i)
		switch i % 100 {
		case 50:
			login = "two words"
		case 51:
			login = fmt.Sprintf("USER%07d@example.com", i-51)
		}
		if f == org.CSV {
			fmt.Fprintf(&b, "%s,\"line\n%d\"\n", login, i)
			continue
		}
		fmt.Fprintf(&b, `{"login":%q,"given_name":"Number %d"}`+"\n", login, i)
	}
	return strings.ReplaceAll(b.String(), "line\n", "line ")
}

// TestImportGoesOnWhereItStopped: however often it is stopped, each row is taken once, and each bad one reported once.
func TestImportGoesOnWhereItStopped(t *testing.T) {
	for name, format := range map[string]org.Format{"json": org.JSONLines, "csv": org.CSV} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, o *org.Org) {
				const n = 5500
				d := newDesk(t, format, manyRows(n, format))
				var seen org.Progress
				for round := 0; ; round++ {
					if round > 10 {
						t.Fatal("it does not end")
					}
					stopped, stop := context.WithCancel(ctx)
					d.in.Resume = round > 0
					d.in.Progress = func(p org.Progress) {
						if seen = p; round < 4 {
							stop()
						}
					}
					got, err := o.Import(stopped, d.in)
					stop()
					if err == nil {
						if got.Added != n*98/100 || got.Rejected != n*2/100 {
							t.Errorf("in the end %+v", got)
						}
						break
					}
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					// What a crash leaves in the ledger beside what was committed is cut off.
					if d.file != nil {
						if _, err := d.file.WriteAt([]byte(`{"line":0,"reason":"lost"}`+"\n"), seen.Ledger); err != nil {
							t.Fatal(err)
						}
					}
					d.in.Resume = false
					_, err = o.Import(ctx, d.in)
					refused(t, err, "--resume goes on")
				}
				if have := count(t, o); have != n*98/100 {
					t.Errorf("there are %d users", have)
				}
				all := d.rejects(t)
				if len(all) != n*2/100 {
					t.Fatalf("%d rows in the ledger", len(all))
				}
				first := 51
				if format == org.CSV {
					first = 52
				}
				for i, r := range all {
					if want := first + i/2*100 + i%2; r.Line != want {
						t.Errorf("reject %d is of line %d, want %d: %s", i, r.Line, want, r.Reason)
					}
				}
			})
		})
	}
}

func TestImportWithoutALedgerStopsAtTheFirstBadRow(t *testing.T) {
	o := over(openSQLite(t))
	d := newDesk(t, org.JSONLines, "{\"login\":\"ada\"}\n{\"login\":\"\"}\n")
	d.in.Ledger = nil
	_, err := o.Import(ctx, d.in)
	refused(t, err, "line 2")
	if n := count(t, o); n != 0 {
		t.Errorf("%d users of a batch that failed", n)
	}
}

func TestExportUsersAndImportThem(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		_, err := o.AddGroup(ctx, "staff", "")
		must(t, err)
		in := newDesk(t, org.JSONLines, `{"login":"Ada@example.com","given_name":"A<d>a","phone":"+12025550143","password_hash":"`+foreign+`","groups":["staff"]}`+"\n"+`{"login":"bob","status":"staged"}`)
		_, err = o.Import(ctx, in.in)
		must(t, err)
		user(t, o, "carol")
		var open, shut bytes.Buffer
		n, err := o.ExportUsers(ctx, &shut, false)
		if err != nil || n != 3 || strings.Contains(shut.String(), "0143") || strings.Contains(shut.String(), "$2b$") || strings.Contains(shut.String(), "argon2") {
			t.Errorf("S-37: exported %d, %v:\n%s", n, err, shut.String())
		}
		if _, err = o.ExportUsers(ctx, &open, true); err != nil {
			t.Fatal(err)
		}
		other := over(openSQLite(t))
		apply(t, other, export(t, o), org.How{})
		d := newDesk(t, org.JSONLines, open.String())
		if got, err := other.Import(ctx, d.in); err != nil || got.Added != 3 {
			t.Fatalf("%+v, %v, %+v", got, err, d.rejects(t))
		}
		var again bytes.Buffer
		if _, err := other.ExportUsers(ctx, &again, true); err != nil || again.String() != open.String() {
			t.Errorf("moved, they became\n%s\nfrom\n%s, %v", again.String(), open.String(), err)
		}
		carol, err := other.User(ctx, "carol")
		must(t, err)
		if v := verify(t, other, carol.User.ID, "purple tractor 91"); !v.OK || v.Replace != "" {
			t.Errorf("our own hash on the other side: %v", v.OK)
		}
		if e := last(events(t, o)); e.Type != audit.UsersExported || e.Reason != "with hashes and numbers" {
			t.Errorf("S-71: recorded %+v", e)
		}
	})
}

// FuzzImport: no file breaks anything, and every line is taken, empty or reported.
func FuzzImport(f *testing.F) {
	f.Add([]byte(manyRows(3, org.JSONLines)), false)
	f.Add([]byte(manyRows(3, org.CSV)), true)
	f.Add([]byte("login\n\"a\nb\",c\n"), true)
	db := openSQLite(f)
	keysOfHash := password.Params{Memory: 64, Time: 1, Threads: 1}
	f.Fuzz(func(t *testing.T, text []byte, table bool) {
		o := org.New(org.Config{Store: db, Passwords: keysOfHash, Now: over(db).Now})
		d := newDesk(t, org.JSONLines, string(text))
		if table {
			d.in.Format = org.CSV
		}
		before := count(t, o)
		got, err := o.Import(ctx, d.in)
		if refusal := (*org.Refusal)(nil); errors.As(err, &refusal) {
			return
		}
		must(t, err)
		if count(t, o)-before != got.Added || len(d.rejects(t)) != got.Rejected {
			t.Errorf("%+v, but %d users and %d rejects", got, count(t, o)-before, len(d.rejects(t)))
		}
	})
}

// BenchmarkImport takes in b.N rows with a hash and a number each.
func BenchmarkImport(b *testing.B) {
	o := over(openSQLite(b))
	var text strings.Builder
	for i := range b.N {
		fmt.Fprintf(&text, `{"login":"user%d@example.com","given_name":"Given","family_name":"Family","email":"user%d@example.com","phone":"+1202555%04d","password_hash":%q}`+"\n", i, i, i%10000, foreign)
	}
	d := newDesk(b, org.JSONLines, text.String())
	b.ResetTimer()
	got, err := o.Import(ctx, d.in)
	if err != nil || got.Added != b.N {
		b.Fatalf("%+v, %v", got, err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
