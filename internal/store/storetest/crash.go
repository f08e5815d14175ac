package storetest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
)

// WorkerEnv names the environment variable that makes a test binary a worker to be killed: what it holds is
// where the database is. A TestMain looks for it and calls [Work].
const WorkerEnv = "LATCHKEY_STORETEST_WORKER"

const roundEnv = "LATCHKEY_STORETEST_ROUND"

// workers write at once, so that commits are shared.
const workers = 4

// Work writes for as long as it lives, and says what was acknowledged: a line for each on standard output.
func Work(db store.DB) error {
	round := os.Getenv(roundEnv)
	var out sync.Mutex
	say := func(line string) {
		out.Lock()
		defer out.Unlock()
		io.WriteString(os.Stdout, line+"\n")
	}
	return errors.Join(atOnce(workers, func(w int) error {
		for i := 0; ; i++ {
			if err := work(db, fmt.Sprintf("r%s-w%d-%d", round, w, i), say); err != nil {
				return err
			}
		}
	})...)
}

// work makes a user with a code, spends the code and counts a try, as a sign-in does.
func work(db store.DB, id string, say func(string)) error {
	if err := db.Update(ctx, func(tx store.Tx) error {
		return errors.Join(tx.AddUser(ctx, ident.User{ID: ident.UserID(id), Login: id}), tx.AddCode(ctx, store.Code{Digest: digest(id)}),
			tx.Record(ctx, audit.Event{Type: "made", User: id}))
	}); err != nil {
		return err
	}
	say("made " + id)
	if err := db.Update(ctx, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest(id), now); return err }); err != nil {
		return err
	}
	say("spent " + id)
	var c store.Challenge
	if err := db.Update(ctx, func(tx store.Tx) (err error) { c, err = tx.CountTry(ctx, "chl1", 1<<30); return err }); err != nil {
		return err
	}
	say(fmt.Sprint("tried ", c.Tries))
	return nil
}

// Crash kills a worker on the database at place again and again, and looks whether anything that it
// was told is lost (S-75).
func Crash(t *testing.T, h Home, place string, rounds int) {
	db, err := h.Open(Key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	aChallenge(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	made, tries := 0, 0
	for round := range rounds {
		told := killed(t, place, round, 20+rand.IntN(150))
		db, err := h.Open(Key(t, 1))
		if err != nil {
			t.Fatalf("round %d: it does not open again: %v", round, err)
		}
		for _, line := range told {
			kind, id, _ := strings.Cut(line, " ")
			switch kind {
			case "made":
				made++
				read(t, db, func(tx store.Tx) error { _, err := tx.User(ctx, ident.UserID(id)); return err })
			case "spent":
				refused(t, db, store.ErrSpent, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest(id), now); return err })
			case "tried":
				tries = max(tries, atoi(t, id))
			}
		}
		if got := readChallenge(t, db, store.Challenge{ID: "chl1"}).Tries; got < tries {
			t.Errorf("round %d: %d tries of %d are left", round, got, tries)
		}
		if all, _ := tail(t, db, 0); len(all) < made {
			t.Errorf("round %d: %d events of %d are left", round, len(all), made)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if made == 0 || tries == 0 {
		t.Fatal("the workers wrote nothing")
	}
}

// killed runs a worker, kills it after so many lines, and returns all that it said.
func killed(t *testing.T, place string, round, lines int) (told []string) {
	t.Helper()
	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), WorkerEnv+"="+place, fmt.Sprint(roundEnv, "=", round))
	worker.Stderr = os.Stderr
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(out); said.Scan(); { // to the end of the pipe: what it said before it died counts
		if told = append(told, said.Text()); len(told) == lines {
			if err := worker.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := worker.Wait(); err == nil || len(told) < lines {
		t.Fatalf("the worker ended by itself after %d lines: %v", len(told), err)
	}
	return told
}
