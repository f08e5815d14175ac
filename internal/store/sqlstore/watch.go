package sqlstore

import (
	"context"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/obs"
)

// Watch has transactions and committed events told to w. It is called before there are any.
func (db *DB) Watch(w obs.Watcher) { db.watcher = w }

// A watch is one transaction as it is watched; nil where nobody does.
type watch struct {
	to     obs.Watcher
	span   obs.Span
	write  bool
	began  time.Time
	times  int // that the function ran
	events []recorded
}

// recorded is what is told of an event once it is committed.
type recorded struct {
	t  audit.Type
	ok bool
}

func (db *DB) watching(ctx context.Context, write bool) (context.Context, *watch) {
	ctx, span := obs.Call(ctx, map[bool]string{false: "store.view", true: "store.update"}[write])
	if db.watcher == nil && span == (obs.Span{}) {
		return ctx, nil
	}
	return ctx, &watch{to: db.watcher, span: span, write: write, began: time.Now()}
}

// begins says that the function runs, perhaps once more.
func (w *watch) begins() {
	if w != nil {
		w.times++
		w.events = w.events[:0]
	}
}

func (w *watch) recorded(e audit.Event) {
	if w != nil {
		w.events = append(w.events, recorded{e.Type, e.OK})
	}
}

// ends tells what became of the transaction, and returns it.
func (w *watch) ends(err error) error {
	if w == nil {
		return err
	}
	again := max(0, w.times-1)
	w.span.Count("again", again)
	w.span.End(err)
	if w.to == nil {
		return err
	}
	w.to.Transaction(w.write, time.Since(w.began), again, err)
	if err == nil {
		for _, e := range w.events {
			w.to.Recorded(e.t, e.ok)
		}
	}
	return err
}
