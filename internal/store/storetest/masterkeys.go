package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Ring returns a key ring of several master keys, newest first.
func Ring(t testing.TB, newestFirst ...byte) *secret.Keys {
	t.Helper()
	var all [][secret.KeySize]byte
	for _, b := range newestFirst {
		all = append(all, [secret.KeySize]byte{b})
	}
	keys, err := secret.NewKeys(all...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// opened opens the database with a ring that must do, until the test ends or close is called.
func opened(t *testing.T, h Home, keys *secret.Keys) (db store.DB, close func()) {
	t.Helper()
	db, err := h.Open(keys)
	if err != nil {
		t.Fatal(err)
	}
	close = sync.OnceFunc(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(close)
	return db, close
}

// SealSome seals something in every column that is sealed.
func SealSome(t testing.TB, db store.DB, id string) {
	t.Helper()
	u := ident.UserID("00u" + id)
	aUser(t, db, u, "ada"+id)
	write(t, db, func(tx store.Tx) error {
		m := aMessage("m" + id)
		return errors.Join(
			tx.AddEnrollment(ctx, ident.Enrollment{ID: ident.EnrollmentID("p" + id), User: u, Kind: "password", Secret: theHash}),
			tx.AddEnrollment(ctx, anEnrollment(u, ident.EnrollmentID("e"+id), "phone")),
			tx.AddFlow(ctx, aFlow(id), now), tx.AddMessage(ctx, m), tx.PutCertificate(ctx, "cert"+id, []byte(theKey)),
			tx.AddChallenge(ctx, store.Challenge{ID: flow.ChallengeID("c" + id), Number: thePhone, Expires: now}),
			tx.AddSigningKey(ctx, store.SigningKey{ID: "k" + id, Private: []byte(theKey), Created: now}))
	})
}

// perSome is how many values SealSome seals.
const perSome = 8

// wantSome reads what SealSome sealed.
func wantSome(t *testing.T, db store.DB, id string) {
	t.Helper()
	same(t, readFlow(t, db, aFlow(id).Handle), aFlow(id))
	all := enrollmentsOf(t, db, ident.UserID("00u"+id))
	if len(all) != 2 || all[0].Secret != theHash || all[1].Secret != "+15550100" {
		t.Errorf("enrollments are %d", len(all))
	}
	if c := readChallenge(t, db, store.Challenge{ID: flow.ChallengeID("c" + id)}); c.Number != thePhone {
		t.Error("the challenge's number is another")
	}
	found := false
	for _, k := range keysIn(t, db) {
		found = found || k.ID == "k"+id && string(k.Private) == theKey
	}
	if !found {
		t.Error("the signing key is gone")
	}
}

// reseal seals everything anew, n values at a time.
func reseal(t *testing.T, db store.DB, n int) (r store.Resealing) {
	t.Helper()
	for rounds := 0; !r.Over; rounds++ {
		var err error
		if r, err = db.(store.MasterKeys).Reseal(ctx, r, n); err != nil || rounds > 1000 {
			t.Fatalf("round %d: %v", rounds, err)
		}
	}
	return r
}

func masterKeysIn(t *testing.T, db store.DB) []store.MasterKey {
	t.Helper()
	all, err := db.(store.MasterKeys).MasterKeys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b store.MasterKey) int { return b.Values - a.Values })
	return all
}

func idOf(b byte) secret.KeyID { return secret.IDOf([secret.KeySize]byte{b}) }

var masterKeys = map[string]func(*testing.T, Home){
	"master keys/S-67 a new key opens and waits to seal until it is told to": func(t *testing.T, h Home) {
		old, closeOld := opened(t, h, Key(t, 1))
		SealSome(t, old, "1")
		both, closeBoth := opened(t, h, Ring(t, 2, 1)) // another node, restarted with the new key
		wantSome(t, both, "1")
		SealSome(t, both, "2")
		wantSome(t, old, "2") // the first node, which has never heard of it, goes on
		same(t, masterKeysIn(t, both), []store.MasterKey{
			{ID: idOf(1), Seals: true, Held: true, Values: 2 * perSome}, {ID: idOf(2), Held: true}})
		closeOld()
		closeBoth()
	},
	"master keys/S-67 everything is sealed anew, and the old key can be taken off": func(t *testing.T, h Home) {
		first, closeFirst := opened(t, h, Key(t, 1))
		derived := func(k *secret.Keys) secret.Digest { return k.MAC(secret.MACCode, "x") }
		for i := range 5 {
			SealSome(t, first, fmt.Sprint(i))
		}
		closeFirst()
		ring := Ring(t, 2, 1)
		db, done := opened(t, h, ring)
		before := derived(ring)
		m := db.(store.MasterKeys)
		if err := m.SealWith(ctx, idOf(2)); err != nil {
			t.Fatal(err)
		}
		if _, err := m.DropMasterKeys(ctx); !errors.Is(err, store.ErrStale) {
			t.Errorf("the old key was dropped while values need it: %v", err)
		}
		if dbOld, err := h.Open(Key(t, 1)); err == nil {
			dbOld.Close()
			t.Error("S-70: the old key alone is accepted, though the new one seals")
		}
		SealSome(t, db, "new")
		if r := reseal(t, db, 3); r.Done != 5*perSome || len(r.Broken) > 0 {
			t.Errorf("sealed anew: %+v", r)
		}
		dropped, err := m.DropMasterKeys(ctx)
		if err != nil || !slices.Equal(dropped, []secret.KeyID{idOf(1)}) {
			t.Errorf("dropped %v, %v", dropped, err)
		}
		if r := reseal(t, db, 3); r.Done != 0 {
			t.Errorf("a second time there were %d left", r.Done)
		}
		done()

		alone := Key(t, 2)
		after, closeAfter := opened(t, h, alone)
		for i := range 5 {
			wantSome(t, after, fmt.Sprint(i))
		}
		wantSome(t, after, "new")
		if derived(alone) != before {
			t.Error("what is derived changed when the old key went: codes on their way are dead")
		}
		same(t, masterKeysIn(t, after), []store.MasterKey{{ID: idOf(2), Seals: true, Held: true, Values: 6 * perSome}})
		closeAfter()
		if again, err := h.Open(Key(t, 1)); err == nil {
			again.Close()
			t.Error("the old key is still good")
		}
	},
	"master keys/S-70 a key that is missing is named": func(t *testing.T, h Home) {
		db, done := opened(t, h, Ring(t, 2, 1))
		if err := db.(store.MasterKeys).SealWith(ctx, idOf(1)); err != nil {
			t.Fatal(err)
		}
		done()
		for _, b := range []byte{1, 2} {
			missing := idOf(3 - b)
			db, err := h.Open(Key(t, b))
			if err == nil {
				db.Close()
				t.Errorf("key %s is missing, and it opens", missing)
			} else if want := missing.String(); !contains(err, want) {
				t.Errorf("%v does not name key %s", err, want)
			}
		}
	},
	"master keys/S-67 sealing anew goes on where it was broken off, beside those who write": func(t *testing.T, h Home) {
		first, closeFirst := opened(t, h, Key(t, 1))
		for i := range 8 {
			SealSome(t, first, fmt.Sprint(i))
		}
		closeFirst()
		db, _ := opened(t, h, Ring(t, 2, 1))
		if err := db.(store.MasterKeys).SealWith(ctx, idOf(2)); err != nil {
			t.Fatal(err)
		}
		stop, all := make(chan struct{}), make(chan struct{}) // all: have been changed once
		var writing sync.WaitGroup
		writing.Go(func() { // somebody changes what is being sealed anew
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for i := range 8 {
					e := anEnrollment(ident.UserID(fmt.Sprintf("00u%d", i)), ident.EnrollmentID(fmt.Sprintf("e%d", i)), "phone")
					e.Secret = secret.Text(fmt.Sprint("change ", n))
					if err := db.Update(ctx, func(tx store.Tx) error { return tx.PutEnrollment(ctx, e) }); err != nil {
						t.Error(err)
					}
				}
				if n == 1 {
					close(all)
				}
			}
		})
		<-all
		var r store.Resealing
		for range 5 { // broken off, and all that it knew is lost
			var err error
			if r, err = db.(store.MasterKeys).Reseal(ctx, r, 2); err != nil {
				t.Fatal(err)
			}
		}
		if reseal(t, db, 2).Done == 0 {
			t.Error("five steps did it all")
		}
		close(stop)
		writing.Wait()
		for i := range 8 {
			all := enrollmentsOf(t, db, ident.UserID(fmt.Sprintf("00u%d", i)))
			if len(all) != 2 || len(all[1].Secret) < 8 || all[1].Secret[:7] != "change " {
				t.Errorf("a change of person %d was undone", i)
			}
		}
		if _, err := db.(store.MasterKeys).DropMasterKeys(ctx); err != nil {
			t.Error(err)
		}
	},
	"master keys/S-79 nodes follow, and one that lacks the key holds it up": func(t *testing.T, h Home) {
		two, _ := opened(t, h, Ring(t, 2, 1))
		one, closeOne := opened(t, h, Ring(t, 2, 1))
		ringTwo := two.(store.MasterKeys)
		// Ring order decides in an empty database only.
		if all := masterKeysIn(t, two); len(all) != 2 || !all[slices.IndexFunc(all, func(k store.MasterKey) bool { return k.ID == idOf(2) })].Seals {
			t.Fatalf("keys %+v", all)
		}
		if err := ringTwo.SealWith(ctx, idOf(1)); err != nil {
			t.Fatal(err)
		}
		SealSome(t, one, "before") // with 2: it has not followed yet
		for name, db := range map[string]store.DB{"one": one, "two": two} {
			if err := db.(store.MasterKeys).Follow(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		SealSome(t, one, "after")
		nodes, err := ringTwo.Nodes(ctx)
		if err != nil || len(nodes) != 2 || nodes[0].ID != "one" || nodes[0].Seals != idOf(1) || !slices.Contains(nodes[0].Holds, idOf(2)) ||
			time.Since(nodes[0].Seen).Abs() > time.Minute {
			t.Errorf("nodes are %+v, %v", nodes, err)
		}
		same(t, masterKeysIn(t, two)[0].Values, perSome)

		third, _ := opened(t, h, Ring(t, 3, 2, 1))
		if err := third.(store.MasterKeys).SealWith(ctx, idOf(3)); !errors.Is(err, store.ErrStale) || !contains(err, "one") {
			t.Errorf("two nodes lack the key: %v", err)
		}
		for _, name := range []string{"one", "two"} {
			if err := ringTwo.Leave(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		if err := third.(store.MasterKeys).SealWith(ctx, idOf(3)); err != nil {
			t.Errorf("they have left: %v", err)
		}
		if err := one.(store.MasterKeys).Follow(ctx, "one"); err == nil || !contains(err, idOf(3).String()) {
			t.Errorf("a node follows without the key: %v", err)
		}
		if err := third.(store.MasterKeys).SealWith(ctx, idOf(9)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a key that nobody holds: %v", err)
		}
		closeOne()
	},
	"master keys/what is damaged is named, and everything else is sealed anew": func(t *testing.T, h Home) {
		db, _ := opened(t, h, Ring(t, 2, 1))
		m := db.(store.MasterKeys)
		if err := m.SealWith(ctx, idOf(1)); err != nil {
			t.Fatal(err)
		}
		SealSome(t, db, "1")
		// A value that was sealed under a key that is lost: another ring wrote it.
		stranger, closeStranger := opened(t, h, Ring(t, 3, 2, 1))
		if err := stranger.(store.MasterKeys).SealWith(ctx, idOf(3)); err != nil {
			t.Fatal(err)
		}
		SealSome(t, stranger, "2")
		closeStranger()
		if err := m.SealWith(ctx, idOf(2)); err != nil {
			t.Fatal(err)
		}
		r := reseal(t, db, 100)
		if r.Done != perSome || len(r.Broken) != perSome || !slices.Contains(r.Broken, "signing_keys.private of k2") {
			t.Errorf("got %+v", r)
		}
		if _, err := m.DropMasterKeys(ctx); !errors.Is(err, store.ErrStale) {
			t.Errorf("dropped all the same: %v", err)
		}
		// Not found would be a lie.
		err := db.View(ctx, func(tx store.Tx) error { _, err := tx.Flow(ctx, aFlow("2").Handle); return err })
		if !errors.Is(err, secret.ErrUnsealed) {
			t.Errorf("what no key opens is read with %v", err)
		}
	},
}
