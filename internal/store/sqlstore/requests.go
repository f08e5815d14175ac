package sqlstore

import (
	"context"
	"fmt"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// TakeRequests writes into the row how many were given, for only the row as it was before tells, and a
// statement returns the row as it is after. Under a keyed digest, for an address is soon found by trying.
func (t *tx) TakeRequests(ctx context.Context, r store.Requests) (given int, err error) {
	key := t.db.keys.MAC(secret.MACLogin, "requests", string(r.What[:]), fmt.Sprint(r.Length, " ", r.Window))
	err = t.one(ctx, `INSERT INTO request_counts (counted, taken, given, ends) VALUES ($1, $2, $2, $4)
		ON CONFLICT (counted) DO UPDATE SET
			given = CASE WHEN request_counts.taken + $2 <= $3 THEN $2 ELSE $3 - request_counts.taken END,
			taken = CASE WHEN request_counts.taken + $2 <= $3 THEN request_counts.taken + $2 ELSE $3 END
		WHERE request_counts.taken < $3
		RETURNING given`, args{key[:], int64(min(r.Want, r.Max)), int64(r.Max), micros(r.Ends)}, &given)
	if err == store.ErrNotFound {
		return 0, nil
	}
	return given, err
}

// Shared reports whether other processes may work on the same database.
func (db *DB) Shared() bool { return db.dialect.Hold != "" }
