package postgres

import (
	"log/slog"
	"slices"
	"sync"
	"testing"

	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

func TestS84_EightMigrateAtOnce(t *testing.T) {
	dsn := schema(t)
	all, err := Migrate(ctx, dsn, sqlstore.Pending)
	if err != nil || len(all) < 6 {
		t.Fatal(all, err)
	}
	if tried, err := Migrate(ctx, dsn, sqlstore.Rehearse); err != nil || !slices.Equal(tried, all) {
		t.Fatal(tried, err)
	}
	if left, err := Migrate(ctx, dsn, sqlstore.Pending); err != nil || !slices.Equal(left, all) {
		t.Fatalf("trying them changed the database: %v are left, %v", left, err)
	}
	var mu sync.Mutex
	var did []string
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			done, err := Migrate(ctx, dsn, sqlstore.Upgrade)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			did = append(did, done...)
		})
	}
	wait.Wait()
	slices.Sort(did)
	if !slices.Equal(did, all) {
		t.Errorf("together they did %v, want each once: %v", did, all)
	}
	db, err := Open(ctx, dsn, storetest.Key(t, 1), slog.New(slog.DiscardHandler), sqlstore.LeaveSchema)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}
