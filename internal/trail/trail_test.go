package trail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

var ctx = context.Background()

// A log is a database with a keeper, and a clock that the test sets.
type log struct {
	*Keeper
	t   *testing.T
	now time.Time
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(*log)) {
	master := func(t *testing.T) *secret.Keys { return storetest.Key(t, 7) }
	with := func(t *testing.T, db store.DB, err error) {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		l := &log{t: t, now: time.Date(2031, time.May, 6, 12, 0, 0, 0, time.UTC)}
		l.Keeper = New(Config{Store: db, Keys: master(t), Now: func() time.Time { return l.now }, Retention: 90 * 24 * time.Hour})
		test(l)
	}
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(ctx, t.TempDir(), master(t))
		with(t, db, err)
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.Open(ctx, storetest.Schema(t), master(t), slog.New(slog.DiscardHandler))
		with(t, db, err)
	})
}

// record writes n events, one of them with words that would end a line if they could, and waits until they can be read.
func (l *log) record(n int) {
	l.t.Helper()
	for i := range n {
		e := audit.Event{Type: audit.PasswordOK, At: l.now, OK: true, User: "00u1", Reason: "say \"x\"\n{\"seq\":99}\r\u2028<b>",
			Source: audit.Source{Agent: fmt.Sprintf("agent %d\n", i), Address: "192.0.2.1"}}
		if err := l.Store.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, e) }); err != nil {
			l.t.Fatal(err)
		}
	}
	storetest.Events(l.t, l.Store)
}

func (l *log) pass(d time.Duration) { l.now = l.now.Add(d) }

func (l *log) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// export writes what is new behind what a file has already.
func (l *log) export(file string) string {
	l.t.Helper()
	r, err := audit.Read(strings.NewReader(file), l.Vouch)
	if file != "" && err != nil {
		l.t.Fatalf("the file so far: %v", err)
	}
	var out bytes.Buffer
	if _, _, err := l.Export(ctx, &out, r.Ends, file != ""); err != nil {
		l.t.Fatal(err)
	}
	return file + out.String()
}

func (l *log) verify(file string) audit.Report {
	l.t.Helper()
	r, err := audit.Read(strings.NewReader(file), l.Vouch)
	if err != nil {
		l.t.Errorf("%v in\n%s", err, file)
	}
	return r
}

func TestS73_AnExportIsOneChainHoweverOftenItGoesOn(t *testing.T) {
	onBoth(t, func(l *log) {
		l.record(3)
		first := l.export("")
		l.must(l.Seal(ctx)) // seals in the database change nothing
		l.record(2)
		second := l.export(first)
		if !strings.HasPrefix(second, first) || second == first {
			l.t.Error("an export that goes on is not append-only")
		}
		l.pass(2 * time.Hour)
		l.must(l.Seal(ctx))
		if again := l.export(second); again != second {
			l.t.Errorf("with nothing new, it grew by %q", again[len(second):])
		}
		r := l.verify(second)
		whole := l.verify(l.export(""))
		if r.Ends != whole.Ends || r.Begins != (audit.Link{}) || r.Ends.Events != 7 { // two are marks of the test's reading
			l.t.Errorf("in two parts %+v, in one %+v", r, whole)
		}
		for line := range strings.Lines(second) {
			if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\n\r\u2028<") {
				l.t.Errorf("a line is more than one: %q", line)
			}
		}
		if n := strings.Count(second, "\n"); n != 7+2 {
			l.t.Errorf("%d lines of 7 events and 2 seals", n)
		}
		begins, sealed, ends, err := l.Check(ctx)
		if err != nil || begins.Seq != 0 || ends != r.Ends || sealed != ends {
			l.t.Errorf("the database is checked with %+v %+v %+v %v", begins, sealed, ends, err)
		}
	})
}

func TestS73_VerifyFindsWhatWasDoneToAFile(t *testing.T) {
	db, err := sqlite.Open(ctx, t.TempDir(), storetest.Key(t, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := &log{t: t, now: time.Now()}
	l.Keeper = New(Config{Store: db, Keys: storetest.Key(t, 7), Now: func() time.Time { return l.now }})
	l.record(4)
	file := l.export("")
	l.record(1)
	file = l.export(file)
	lines := strings.SplitAfter(strings.TrimSuffix(file, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	last := len(lines) - 1 // the seal at the end; the event before it is last-1
	edit := func(change func(l []string) []string) string {
		return strings.Join(change(append([]string(nil), lines...)), "")
	}
	tests := map[string]string{
		"a changed line":         edit(func(l []string) []string { l[1] = strings.Replace(l[1], "00u1", "00u2", 1); return l }),
		"a changed last event":   edit(func(l []string) []string { l[last-1] = strings.Replace(l[last-1], "false", "true", 1); return l }),
		"a removed line":         edit(func(l []string) []string { return append(l[:2], l[3:]...) }),
		"the first line removed": edit(func(l []string) []string { return l[1:] }),
		"the last event removed": edit(func(l []string) []string { l[last-1] = l[last]; return l[:last] }),
		"the end removed":        edit(func(l []string) []string { return l[:last] }),
		"half a line":            strings.TrimSuffix(file, "\n"),
		"two lines swapped":      edit(func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }),
		"a line twice":           edit(func(l []string) []string { return append(l[:2], l[1:]...) }),
		"a line of one's own":    edit(func(l []string) []string { return append(append(l[:2:2], "{\"seq\":3}\n"), l[2:]...) }),
		"an empty line":          edit(func(l []string) []string { l[1] += "\n"; return l }),
		"a seal of nobody":       edit(func(l []string) []string { l[last] = strings.Replace(l[last], `"mac":"`, `"mac":"00`, 1); return l }),
		"a seal moved in front":  edit(func(l []string) []string { return append([]string{l[last]}, l...) }),
		"nothing":                "",
	}
	for name, changed := range tests {
		if changed == file {
			t.Errorf("%s: the test changes nothing", name)
		}
		if _, err := audit.Read(strings.NewReader(changed), l.Vouch); err == nil {
			t.Errorf("%s is not noticed:\n%s", name, changed)
		}
	}
	t.Run("made anew by somebody without the key", func(t *testing.T) {
		other := New(Config{Store: l.Store, Keys: storetest.Key(t, 8), Now: l.Now})
		var forged bytes.Buffer
		if _, _, err := other.Export(ctx, &forged, audit.Link{}, false); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Read(bytes.NewReader(forged.Bytes()), l.Vouch); !errors.Is(err, audit.ErrBroken) {
			t.Errorf("got %v", err)
		}
	})
}

func TestS73_RetentionRemovesWhatIsOldAndTheRestIsProvable(t *testing.T) {
	onBoth(t, func(l *log) {
		l.record(2*bundle + 7)
		l.must(l.Keep(ctx))
		early := l.export("")
		l.pass(80 * 24 * time.Hour)
		l.record(5)
		l.must(l.Keep(ctx))
		before := l.export(early)
		l.pass(9 * 24 * time.Hour)
		l.must(l.Keep(ctx))
		if got := l.verify(l.export("")); got.Begins.Seq != 0 || got.Ends != l.verify(before).Ends {
			l.t.Errorf("trimmed too early: %+v", got)
		}
		l.pass(2 * 24 * time.Hour) // 91 days after the first, 11 after the second
		l.must(l.Keep(ctx))
		all := storetest.Events(l.t, l.Store)
		if len(all) != 6 || all[5].Type != audit.LogTrimmed {
			l.t.Errorf("%d events are left, the last is %+v", len(all), all[len(all)-1])
		}
		if goesOn := l.verify(l.export(before)); goesOn.Begins.Seq != 0 {
			l.t.Errorf("an export that was there in time has %+v", goesOn)
		}
		r := l.verify(l.export(""))
		if r.Begins.Events != 2*bundle+8 || r.Ends.Events <= r.Begins.Events {
			l.t.Errorf("an export of what is left has %+v", r)
		}
		if begins, _, _, err := l.Check(ctx); err != nil || begins != r.Begins {
			l.t.Errorf("the database has %+v, %v", begins, err)
		}
		if _, err := audit.Read(strings.NewReader(l.exportFrom(audit.Link{Seq: 1, Events: 1}, "")), l.Vouch); err != nil {
			l.t.Error(err)
		}
		l.must(l.Keep(ctx))
		if again := storetest.Events(l.t, l.Store); len(again) != len(all) {
			l.t.Errorf("trimming again left %d of %d", len(again), len(all))
		}
	})
}

func (l *log) exportFrom(from audit.Link, file string) string {
	l.t.Helper()
	var out bytes.Buffer
	_, _, err := l.Export(ctx, &out, from, true)
	l.must(err)
	return file + out.String()
}

func TestS73_WhatWasRemovedBeforeItWasExportedIsMissed(t *testing.T) {
	onBoth(t, func(l *log) {
		l.record(1)
		file := l.export("")
		l.record(3)
		l.must(l.Keep(ctx))
		l.pass(91 * 24 * time.Hour)
		l.must(l.Keep(ctx))
		r, err := audit.Read(strings.NewReader(file), l.Vouch)
		l.must(err)
		if _, err := audit.Read(strings.NewReader(l.exportFrom(r.Ends, file)), l.Vouch); err == nil || !strings.Contains(err.Error(), "are missing") {
			l.t.Errorf("got %v", err)
		}
	})
}

func TestS73_ChangesInTheDatabaseAreNoticed(t *testing.T) {
	db, err := sqlite.Open(ctx, t.TempDir(), storetest.Key(t, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := &log{t: t, now: time.Now()}
	l.Keeper = New(Config{Store: db, Keys: storetest.Key(t, 7), Now: func() time.Time { return l.now }})
	l.record(3)
	l.must(l.Seal(ctx))
	l.record(1)
	l.pass(2 * time.Hour)
	l.must(l.Seal(ctx))
	if _, _, _, err := l.Check(ctx); err != nil {
		t.Fatal(err)
	}
	// The contract has no way to change an event. To remove the first one unnoticed, one has to forge a seal.
	forged := audit.Seal{Link: audit.Link{Seq: 1, Events: 1}, At: l.now}
	l.must(db.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddSeal(ctx, forged); err != nil {
			return err
		}
		_, err := tx.TrimAudit(ctx, 1, 1)
		return err
	}))
	if _, _, _, err := l.Check(ctx); !errors.Is(err, ErrForged) {
		t.Errorf("checked with %v", err)
	}
	if _, _, err := l.Export(ctx, &bytes.Buffer{}, audit.Link{}, false); !errors.Is(err, ErrForged) {
		t.Errorf("exported with %v", err)
	}
}

// The lines are a format that others verify with other programs: sha256sum is enough.
func TestS73_TheFormOfALineNeverChanges(t *testing.T) {
	e := audit.Entry{Seq: 7, Event: audit.Event{
		Type: audit.CodeSent, At: time.Date(2031, 5, 6, 12, 0, 0, 1000, time.UTC), OK: true, Actor: "root", User: "00u1", Login: "ab", Client: "0oa1",
		Flow: "f", Reason: "r", Target: "+1 XXX-XXX-1234", Finger: "cd", GrantID: "oar1",
		Source: audit.Source{Address: "192.0.2.1", Agent: "a\nb", Device: "d", RequestID: "q", Language: "de"},
	}}
	one, link := audit.Link{}.Next(e)
	e.Seq = 9
	two, _ := link.Next(e)
	want, err := os.ReadFile("testdata/lines.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(one) + "\n" + string(two) + "\n"; got != string(want) {
		t.Errorf("got\n%s", got)
	}
}
