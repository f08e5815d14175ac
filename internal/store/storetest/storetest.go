// Package storetest is what the store contract means, as tests.
//
// [Run] holds a database to every sentence of package store, one named case each, and to the security
// requirements that storage carries; their numbers are in the names. Every database passes all of it: a
// bug found on one becomes a case for all. [Crash] and [Work] do the same with a process that is killed.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A Home is where one database lives. It is empty at first and goes away with its test.
type Home struct {
	// Open opens the database; a second time it finds what was left.
	Open func(*secret.Keys) (store.DB, error)
	// Dump returns all that a thief would get: the files, or the tables.
	Dump func(*testing.T) []byte
	// Restore puts a backup there, before it is opened.
	Restore func(*secret.Keys, io.ReadSeeker, store.Restore) (store.BackupInfo, error)
}

// Run gives [store.DB] its meaning.
func Run(t *testing.T, home func(*testing.T) Home) {
	for _, part := range []map[string]func(*testing.T, Home){transactions, durability, atRest, devicesAtRest, masterKeys} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			t.Run(name, func(t *testing.T) { part[name](t, home(t)) })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(backups)) {
		t.Run(name, func(t *testing.T) { backups[name](t, home(t), home(t)) })
	}
	for _, part := range []map[string]func(*testing.T, store.DB){flows, challenges, failures, guesses, requests, sends, messages, ledger, people, groups, organisation, codes, proofs, devices, registrations, grants, sessions, signingKeys, certificates, events, trail, sweeps} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			t.Run(name, func(t *testing.T) { part[name](t, open(t, home(t))) })
		}
	}
}

var ctx = context.Background()

// now is the clock of these tests. Storage has none of its own.
var now = time.Date(2031, time.May, 6, 12, 0, 0, 0, time.UTC)

// Key returns a key ring of one master key.
func Key(t testing.TB, b byte) *secret.Keys {
	t.Helper()
	keys, err := secret.NewKeys([secret.KeySize]byte{b})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func open(t *testing.T, h Home) store.DB {
	t.Helper()
	db, err := h.Open(Key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// write runs f in an update that must succeed.
func write(t testing.TB, db store.DB, f func(store.Tx) error) {
	t.Helper()
	if err := db.Update(ctx, f); err != nil {
		t.Fatal(err)
	}
}

// read runs f in a view that must succeed.
func read(t testing.TB, db store.DB, f func(store.Tx) error) {
	t.Helper()
	if err := db.View(ctx, f); err != nil {
		t.Fatal(err)
	}
}

// refused runs f in an update that must fail with want.
func refused(t testing.TB, db store.DB, want error, f func(store.Tx) error) {
	t.Helper()
	if err := db.Update(ctx, f); !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// missing runs f in a view that must not find anything.
func missing(t testing.TB, db store.DB, f func(store.Tx) error) {
	t.Helper()
	if err := db.View(ctx, f); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("got error %v, want %v", err, store.ErrNotFound)
	}
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// atOnce runs f n times in parallel, begun together, and returns what each said.
func atOnce(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

// overlap begins second when first has done its part and has not committed yet, and gives it a moment to overtake.
// What they say comes back, and whether second was done before first.
func overlap(t testing.TB, db store.DB, first, second func(store.Tx) error) (one, two error, overtaken bool) {
	t.Helper()
	done, begun := make(chan error, 1), false
	one = db.Update(ctx, func(tx store.Tx) error {
		if err := first(tx); err != nil || begun {
			return err
		}
		begun = true
		go func() { done <- db.Update(ctx, second) }()
		select {
		case two = <-done:
			overtaken = true
		case <-time.After(200 * time.Millisecond):
		}
		return nil
	})
	if begun && !overtaken {
		two = <-done
	}
	return one, two, overtaken
}

// tally counts successes, and errors that are want; any other error fails the test.
func tally(t testing.TB, errs []error, want error) (won, lost int) {
	t.Helper()
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case errors.Is(err, want):
			lost++
		default:
			t.Errorf("got error %v, want none or %v", err, want)
		}
	}
	return won, lost
}

func contains(err error, words string) bool { return strings.Contains(fmt.Sprint(err), words) }

func digest(value string) secret.Digest { return secret.DigestOf("storetest", value) }

// filled returns a T with something in every field and in every field of those, so that a field that
// storage forgets is found on the day it is added.
func filled[T any]() T {
	var v T
	n := 0
	fill(reflect.ValueOf(&v).Elem(), &n)
	return v
}

func fill(v reflect.Value, n *int) {
	*n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(now.Add(time.Duration(*n) * time.Microsecond)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text" + string(rune('a'+*n%26)) + "é")
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) * 1000)
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	default:
		panic("storetest: no value for " + v.Type().String())
	}
}
