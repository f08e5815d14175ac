package sqlstore

import (
	"context"
	"time"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// SpendProof lets the unique key decide which of those that come at once is the first. The mark of one that was spent
// between a backup and its restore is gone, so nothing from before the restore is taken.
func (t *tx) SpendProof(ctx context.Context, d secret.Digest, issued, expires time.Time) error {
	n, err := t.exec(ctx, `INSERT INTO spent_proofs (digest, expires) SELECT $1, $2
		WHERE NOT EXISTS (SELECT 1 FROM settings WHERE name = '`+settingRestoredAt+`' AND value >= $3)
		ON CONFLICT DO NOTHING`, args{d[:], mark(expires), stamp(issued)})
	if err == nil && n == 0 {
		err = store.ErrSpent
	}
	return err
}

func (t *tx) AddPushed(ctx context.Context, p store.Pushed) error {
	return added(t.exec(ctx, `INSERT INTO pushed_requests (digest, client_id, server, params, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, args{p.Digest[:], string(p.Client), p.Server, doc(p.Params), micros(p.Expires)}))
}

// SpendPushed removes the row: of any number of requests at once, the database lets one remove it (S-59).
func (t *tx) SpendPushed(ctx context.Context, d secret.Digest, server string, c oauth.ClientID) (store.Pushed, error) {
	p := store.Pushed{Digest: d, Server: server, Client: c}
	err := t.one(ctx, `DELETE FROM pushed_requests WHERE digest = $1 AND server = $2 AND client_id = $3 RETURNING params, expires`,
		args{d[:], server, string(c)}, docInto{&p.Params}, timeInto{&p.Expires})
	if err != nil {
		return store.Pushed{}, err
	}
	return p, nil
}
