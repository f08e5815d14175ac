package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
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
	{"devices", "digest", "expires", 0},
	{"registrations", "digest", "expires", 0},
	{"refreshes", "digest", "expires", 0},
	{"grants", "id", "expires", 0},
	{"revoked_tokens", "jti", "expires", 0},
	{"sessions", "id", "expires", 0},
	{"logouts", "id", "ends", 0},
	{"spent_proofs", "digest", "expires", 0},
	{"pushed_requests", "digest", "expires", 0},
	{"messages", "id", "ended", 0},
	{"sends", "id", "sent", kept},
	{"password_failures", "account", "ends", 0},
	{"source_failures", "source", "ends", 0},
	{"known_devices", "account", "seen", limit.DeviceMemory},
	{"request_counts", "counted", "ends", 0},
	{"pauses", "scope", "ends", kept}, // what was sent before the last one does not count against anybody again
	{"budgets", "id", "ends", 0},
	{"charges", "message", "at", ledgerKept},
}

// batch is how many rows one statement deletes.
const batch = 50

// Sweep implements [store.Sweeper], a kind at a time. Looking for rows is reading, which holds up nobody;
// only what was found is then deleted by its key, if it has still ended.
func (db *DB) Sweep(ctx context.Context, before time.Time, n int) (more bool, err error) {
	for _, s := range swept {
		keys, err := db.ended(ctx, s, before, n)
		if err != nil {
			return more, err
		}
		more = more || len(keys) == n
		for some := range slices.Chunk(keys, batch) {
			err := db.Update(ctx, func(t store.Tx) error {
				_, err := t.(*tx).exec(ctx, s.delete(), s.args(before, some))
				return err
			})
			if err != nil {
				return more, err
			}
		}
	}
	return more, nil
}

func (db *DB) ended(ctx context.Context, s sweeping, before time.Time, n int) (keys []any, err error) {
	err = db.View(ctx, func(t store.Tx) error {
		keys = nil
		return t.(*tx).each(ctx, s.find(), args{s.cut(before), int64(n)}, func(rows *sql.Rows) error {
			var key any
			err := rows.Scan(&key)
			keys = append(keys, key)
			return err
		})
	})
	return keys, err
}

func (s sweeping) cut(before time.Time) int64 { return micros(before.Add(-s.after)) }

// A mark of something to come has no end yet, and 0 for it.
func (s sweeping) find() string {
	return `SELECT ` + s.key + ` FROM ` + s.table + ` WHERE ` + s.end + ` < $1 AND ` + s.end + ` > 0 LIMIT $2`
}

func (s sweeping) delete() string {
	places := make([]string, batch)
	for i := range places {
		places[i] = `$` + strconv.Itoa(i+2)
	}
	return `DELETE FROM ` + s.table + ` WHERE ` + s.end + ` < $1 AND ` + s.key + ` IN (` + strings.Join(places, `, `) + `)`
}

// args fills the places that are left with the last key once more, so that there is one statement to prepare.
func (s sweeping) args(before time.Time, keys []any) args {
	a := append(args{s.cut(before)}, keys...)
	for len(a) < batch+1 {
		a = append(a, keys[len(keys)-1])
	}
	return a
}

// Reset implements [store.Resetter]. The database belongs to the same master key afterwards.
func (db *DB) Reset(ctx context.Context) error {
	return db.Update(ctx, func(st store.Tx) error {
		t := st.(*tx)
		for _, table := range []string{"flows", "challenges", "failures", "sends", "messages", "pauses", "budgets", "charges", "enrollments", "users", "user_groups", "authenticators",
			"clients", "servers", "codes", "grants", "refreshes", "revoked_tokens", "sessions", "logouts", "signing_keys", "audit_events", "audit_seals",
			"password_failures", "source_failures", "known_devices", "request_counts",
			"spent_proofs", "pushed_requests", "devices", "registrations"} {
			if _, err := t.exec(ctx, `DELETE FROM `+table, nil); err != nil {
				return err
			}
		}
		// What belongs to the master keys stays, so that those who are working on the database may go on.
		if _, err := t.exec(ctx, `DELETE FROM settings WHERE name NOT IN ($1, $2, $3, $4)`,
			args{settingNeeds, settingRoot, settingKeyCheck, settingSeals}); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)`, args{settingOrg, ident.NewID("00o")})
		return err
	})
}
