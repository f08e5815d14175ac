package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

const userColumns = `id, login, status, given_name, family_name, email, email_verified, locale, zone, created, updated`

func (t *tx) AddUser(ctx context.Context, u ident.User) error {
	a, err := userArgs(u)
	if err != nil {
		return err
	}
	return added(t.exec(ctx, `INSERT INTO users (`+userColumns+`, folded)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`, a))
}

func (t *tx) PutUser(ctx context.Context, u ident.User) error {
	a, err := userArgs(u)
	if err != nil {
		return err
	}
	return present(t.exec(ctx, `UPDATE users SET login = $2, status = $3, given_name = $4, family_name = $5, email = $6,
		email_verified = $7, locale = $8, zone = $9, created = $10, updated = $11, folded = $12 WHERE id = $1`, a))
}

func userArgs(u ident.User) (args, error) {
	folded, ok := ident.FoldLogin(u.Login)
	if !ok {
		return nil, fmt.Errorf("sqlstore: user %s: a login that cannot be folded belongs to nobody", u.ID)
	}
	return args{string(u.ID), u.Login, string(u.Status), u.GivenName, u.FamilyName, u.Email, u.EmailVerified,
		u.Locale, u.Zone, micros(u.Created), micros(u.Updated), folded}, nil
}

// present judges an UPDATE of one row.
func present(n int64, err error) error {
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return err
}

func userInto(u *ident.User) []any {
	return []any{(*string)(&u.ID), &u.Login, (*string)(&u.Status), &u.GivenName, &u.FamilyName, &u.Email, &u.EmailVerified,
		&u.Locale, &u.Zone, timeInto{&u.Created}, timeInto{&u.Updated}}
}

func (t *tx) User(ctx context.Context, id ident.UserID) (ident.User, error) {
	var u ident.User
	err := t.one(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, args{string(id)}, userInto(&u)...)
	return u, err
}

// HoldPerson takes the user before the enrollments, like everybody who wants both.
func (t *tx) HoldPerson(ctx context.Context, id ident.UserID) (u ident.User, all []ident.Enrollment, err error) {
	err = t.one(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`+t.db.dialect.holding(unchanged), args{string(id)}, userInto(&u)...)
	if err != nil {
		return ident.User{}, nil, err
	}
	all, err = t.enrollments(ctx, id, t.db.dialect.holding(unremoved))
	return u, all, err
}

func (t *tx) UserByLogin(ctx context.Context, folded string) (ident.User, error) {
	var u ident.User
	err := t.one(ctx, `SELECT `+userColumns+` FROM users WHERE folded = $1`, args{folded}, userInto(&u)...)
	return u, err
}

// Users reads one page. A condition that is not asked for compares with itself.
func (t *tx) Users(ctx context.Context, q store.UserQuery) ([]ident.User, error) {
	query := `SELECT ` + userColumns + ` FROM users WHERE folded > $1 AND ($2 = '' OR status = $2)`
	a := args{q.After, string(q.Status), int64(q.N)}
	if q.Group != "" {
		query += ` AND id IN (SELECT user_id FROM members WHERE group_id = $4)`
		a = append(a, string(q.Group))
	}
	var all []ident.User
	err := t.each(ctx, query+` ORDER BY folded LIMIT $3`, a, func(rows *sql.Rows) error {
		var u ident.User
		err := rows.Scan(userInto(&u)...)
		all = append(all, u)
		return err
	})
	if errors.Is(err, errText) {
		return nil, nil
	}
	return all, err
}

func (t *tx) CountUsers(ctx context.Context) (n int, err error) {
	err = t.one(ctx, `SELECT count(*) FROM users`, nil, &n)
	return n, err
}

// DropUser takes the user before the counters, like a sign-in.
func (t *tx) DropUser(ctx context.Context, id ident.UserID) error {
	if err := present(t.exec(ctx, `DELETE FROM users WHERE id = $1`, args{string(id)})); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM failures WHERE user_id = $1`, args{string(id)})
	return err
}

func (t *tx) Enrollments(ctx context.Context, u ident.UserID) ([]ident.Enrollment, error) {
	return t.enrollments(ctx, u, "")
}

func (t *tx) enrollments(ctx context.Context, u ident.UserID, holding string) ([]ident.Enrollment, error) {
	var all []ident.Enrollment
	err := t.each(ctx, `SELECT id, authenticator, kind, method, secret, hint, created FROM enrollments
		WHERE user_id = $1 ORDER BY created, position`+holding, args{string(u)}, func(rows *sql.Rows) error {
		e := ident.Enrollment{User: u}
		var sealed []byte
		err := rows.Scan((*string)(&e.ID), (*string)(&e.Authenticator), (*string)(&e.Kind), (*string)(&e.Method),
			&sealed, &e.Hint, timeInto{&e.Created})
		e.Secret = secret.Text(sealed)
		all = append(all, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, e := range all {
		plain, err := t.unseal(enrollmentSecret, string(e.ID), []byte(e.Secret))
		if err != nil {
			return nil, err
		}
		all[i].Secret = secret.Text(plain)
	}
	return all, nil
}

func (t *tx) AddEnrollment(ctx context.Context, e ident.Enrollment) error {
	return added(t.exec(ctx, `INSERT INTO enrollments (id, user_id, authenticator, kind, method, secret, hint, created, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT coalesce(max(position), 0) + 1 FROM enrollments WHERE user_id = $2))
		ON CONFLICT DO NOTHING`,
		args{string(e.ID), string(e.User), string(e.Authenticator), string(e.Kind), string(e.Method),
			t.seal(enrollmentSecret, string(e.ID), []byte(e.Secret)), e.Hint, micros(e.Created)}))
}

func (t *tx) PutEnrollment(ctx context.Context, e ident.Enrollment) error {
	return present(t.exec(ctx, `UPDATE enrollments SET secret = $2 WHERE id = $1`,
		args{string(e.ID), t.seal(enrollmentSecret, string(e.ID), []byte(e.Secret))}))
}

func (t *tx) DropEnrollment(ctx context.Context, id ident.EnrollmentID) error {
	return present(t.exec(ctx, `DELETE FROM enrollments WHERE id = $1`, args{string(id)}))
}
