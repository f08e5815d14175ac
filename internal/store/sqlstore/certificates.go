package sqlstore

import "context"

func (t *tx) Certificate(ctx context.Context, name string) ([]byte, error) {
	var sealed []byte
	if err := t.one(ctx, `SELECT data FROM certificates WHERE name = $1`, args{name}, &sealed); err != nil {
		return nil, err
	}
	return t.unseal(certificateData, name, sealed)
}

func (t *tx) PutCertificate(ctx context.Context, name string, data []byte) error {
	_, err := t.exec(ctx, `INSERT INTO certificates (name, data) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET data = excluded.data`,
		args{name, t.seal(certificateData, name, data)})
	return err
}

func (t *tx) DropCertificate(ctx context.Context, name string) error {
	_, err := t.exec(ctx, `DELETE FROM certificates WHERE name = $1`, args{name})
	return err
}
