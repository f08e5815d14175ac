package sqlstore

import (
	"context"
	"time"

	"latchkey.dev/internal/store"
)

// kept is how long a message counts after it was sent: longer than any window of the limits.
const kept = 8 * 24 * time.Hour

// A sweeping says when the rows of a table have ended.
type sweeping struct {
	table, key, end string
	after           time.Duration // the end itself counts so much later
}

// swept are the tables whose rows end by themselves.
var swept = []sweeping{
	{"flows", "handle", "expires", 0},
	{"challenges", "id", "expires", 0},
	{"codes", "digest", "expires", 0},
	{"refreshes", "digest", "expires", 0},
	{"grants", "id", "expires", 0},
	{"revoked_tokens", "jti", "expires", 0},
	{"messages", "id", "ended", 0},
	{"sends", "id", "sent", kept},
}

func (s sweeping) delete(skipLocked string) string {
	return `DELETE FROM ` + s.table + ` WHERE ` + s.key + ` IN (SELECT ` + s.key + ` FROM ` + s.table +
		` WHERE ` + s.end + ` < $1 AND ` + s.end + ` <> 0 ORDER BY ` + s.end + ` LIMIT $2` + skipLocked + `)`
}

// Sweep implements [store.Sweeper], a transaction for each kind, so that no writer waits for all of them.
func (db *DB) Sweep(ctx context.Context, before time.Time, n int) (more bool, err error) {
	for i, s := range swept {
		var gone int64
		err := db.Update(ctx, func(t store.Tx) error {
			var err error
			gone, err = t.(*tx).exec(ctx, db.text.sweep[i], args{micros(before.Add(-s.after)), int64(n)})
			return err
		})
		if err != nil {
			return more, err
		}
		more = more || gone == int64(n)
	}
	return more, nil
}

// Reset implements [store.Resetter]. The database belongs to the same master key afterwards.
func (db *DB) Reset(ctx context.Context) error {
	return db.Update(ctx, func(st store.Tx) error {
		t := st.(*tx)
		for _, table := range []string{"flows", "challenges", "failures", "sends", "messages", "enrollments", "users", "authenticators",
			"clients", "servers", "codes", "grants", "refreshes", "revoked_tokens", "signing_keys", "audit_events"} {
			if _, err := t.exec(ctx, `DELETE FROM `+table, nil); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `DELETE FROM settings WHERE name <> $1`, args{settingNeeds}); err != nil {
			return err
		}
		return t.claim(ctx)
	})
}
