package storetest

import (
	"bytes"
	"errors"
	"testing"

	"latchkey.dev/internal/store"
)

var certificates = map[string]func(*testing.T, store.DB){
	"certificates/the last one that was put is there, until it is dropped": func(t *testing.T, db store.DB) {
		read := func() (data []byte, err error) {
			err = db.View(ctx, func(tx store.Tx) error {
				data, err = tx.Certificate(ctx, "id.example")
				return err
			})
			return data, err
		}
		if _, err := read(); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("before any was put: %v", err)
		}
		for _, data := range []string{"first", "second"} {
			if err := db.Update(ctx, func(tx store.Tx) error { return tx.PutCertificate(ctx, "id.example", []byte(data)) }); err != nil {
				t.Fatal(err)
			}
			if got, err := read(); err != nil || !bytes.Equal(got, []byte(data)) {
				t.Errorf("reads %q, %v, want %q", got, err, data)
			}
		}
		for range 2 {
			if err := db.Update(ctx, func(tx store.Tx) error { return tx.DropCertificate(ctx, "id.example") }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := read(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after it was dropped: %v", err)
		}
	},
}
