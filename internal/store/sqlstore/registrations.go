package sqlstore

import (
	"context"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func (t *tx) AddRegistration(ctx context.Context, r store.Registration) error {
	return added(t.exec(ctx, `INSERT INTO registrations (digest, created, expires, uses) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		args{r.Digest[:], micros(r.Created), micros(r.Expires), int64(r.Uses)}))
}

// SpendRegistration takes one of the uses that are left. Whether it was unknown, over or used up is nobody's business.
func (t *tx) SpendRegistration(ctx context.Context, d secret.Digest, at time.Time) error {
	return present(t.exec(ctx, `UPDATE registrations SET uses = uses - 1 WHERE digest = $1 AND uses > 0 AND expires > $2`, args{d[:], micros(at)}))
}
