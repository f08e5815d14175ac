package sqlstore

import (
	"context"
	"database/sql"

	"latchkey.dev/internal/store"
)

func (t *tx) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	var all []store.SigningKey
	err := t.each(ctx, `SELECT id, alg, private, created, starts, retired FROM signing_keys ORDER BY created, starts`, nil, func(rows *sql.Rows) error {
		var k store.SigningKey
		err := rows.Scan(&k.ID, &k.Alg, &k.Private, timeInto{&k.Created}, timeInto{&k.From}, timeInto{&k.Retired})
		all = append(all, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, k := range all {
		if all[i].Private, err = t.unseal(signingPrivate, k.ID, k.Private); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (t *tx) AddSigningKey(ctx context.Context, k store.SigningKey) error {
	return added(t.exec(ctx, `INSERT INTO signing_keys (id, alg, private, created, starts, retired) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, t.signingKeyArgs(k)))
}

func (t *tx) PutSigningKey(ctx context.Context, k store.SigningKey) error {
	return present(t.exec(ctx, `UPDATE signing_keys SET alg = $2, private = $3, created = $4, starts = $5, retired = $6 WHERE id = $1`,
		t.signingKeyArgs(k)))
}

func (t *tx) signingKeyArgs(k store.SigningKey) args {
	return args{k.ID, k.Alg, t.seal(signingPrivate, k.ID, k.Private), micros(k.Created), micros(k.From), micros(k.Retired)}
}
