package sqlstore

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// ErrWrongKey refuses master keys that are not those of this database (S-70).
var ErrWrongKey = errors.New("sqlstore: this database was begun with another master key")

// The settings that are the store's own.
const (
	settingOrg      = "org.id"
	settingRoot     = "key.root"  // what the derived keys come from, sealed
	settingKeyCheck = "key.check" // what the root derives: a root without it, or it without the root, is damage
	settingSeals    = "key.seals" // the master key that seals
)

// settingValue is the one sealed value among the settings.
const settingValue column = "settings.value"

// A claim is what the database and the ring of master keys have to agree on.
type claim struct {
	root  secret.Root
	seals secret.KeyID
}

// claim checks that the ring is this database's and returns what the ring has to adopt. A database without a
// mark is claimed, but only if nothing was sealed in it before: a lost mark must not let a new key in over
// old data (S-70).
func (t *tx) claim(ctx context.Context) (c claim, err error) {
	keys := t.db.keys
	marked, err := t.Setting(ctx, settingRoot)
	if errors.Is(err, store.ErrNotFound) {
		if err := t.mark(ctx); err != nil {
			return c, err
		}
		marked, err = t.Setting(ctx, settingRoot) // perhaps another node's, which was quicker
	}
	if err != nil {
		return c, err
	}
	if c.root, err = openRoot(keys, marked); err != nil {
		return c, err
	}
	check, err := c.root.MAC(secret.MACCheck, "latchkey")
	if err != nil {
		return c, err
	}
	found, err := t.Setting(ctx, settingKeyCheck)
	if err != nil || found != checkText(check) {
		return c, errors.Join(ErrWrongKey, err)
	}
	if c.seals, err = t.seals(ctx); err != nil {
		return c, err
	}
	if err := t.mustHold(ctx); err != nil {
		return c, err
	}
	return c, t.recordRestore(ctx)
}

// openRoot opens the root of the derived keys as it stands among the settings.
func openRoot(keys *secret.Keys, marked string) (secret.Root, error) {
	sealed, err := base64.StdEncoding.DecodeString(marked)
	if err != nil {
		return secret.Root{}, ErrWrongKey
	}
	plain, err := keys.Open(settingValue.place(settingRoot), sealed)
	if err != nil {
		if id, ok := secret.SealedWith(sealed); ok && !keys.Has(id) {
			return secret.Root{}, fmt.Errorf("%w: key %s, and the ring has %s", ErrWrongKey, id, names(keys.IDs()))
		}
		return secret.Root{}, ErrWrongKey
	}
	return secret.ParseRoot(plain)
}

func checkText(d secret.Digest) string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// mark gives a database its root. One that is older than roots keeps what its first master key derived.
func (t *tx) mark(ctx context.Context) error {
	keys, root, may := t.db.keys, secret.NewRoot(), []secret.KeyID{t.db.keys.Sealing()}
	switch found, err := t.Setting(ctx, settingKeyCheck); {
	case err == nil:
		if root, err = keys.KeepDerived(); err != nil {
			return err
		}
		if d, err := root.MAC(secret.MACCheck, "latchkey"); err != nil || checkText(d) != found {
			return errors.Join(ErrWrongKey, err)
		}
		may = keys.IDs() // any of them has sealed, for all we know
	case !errors.Is(err, store.ErrNotFound):
		return err
	default:
		if err := t.mustBeNew(ctx); err != nil {
			return err
		}
	}
	check, err := root.MAC(secret.MACCheck, "latchkey")
	if err != nil {
		return err
	}
	sealed := t.seal(settingValue, settingRoot, root.Marshal())
	// One statement: of several nodes that come at once, one marks.
	n, err := t.begin(ctx, base64.StdEncoding.EncodeToString(sealed), checkText(check), keys.Sealing().String())
	if err != nil || n == 0 {
		return err
	}
	return t.maySeal(ctx, may...)
}

func (t *tx) mustBeNew(ctx context.Context) error {
	for _, c := range sealedColumns {
		var some bool
		if err := t.one(ctx, `SELECT EXISTS (SELECT 1 FROM `+c.table()+`)`, nil, &some); err != nil {
			return err
		}
		if some {
			return fmt.Errorf("%w: it holds sealed values and no mark of the key", ErrWrongKey)
		}
	}
	return nil
}

// seals reads which master key seals.
func (t *tx) seals(ctx context.Context) (secret.KeyID, error) {
	text, err := t.Setting(ctx, settingSeals)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: reading which master key seals: %w", err)
	}
	return secret.ParseKeyID(text)
}

// maySeal enters master keys into the table of those that may have sealed something.
func (t *tx) maySeal(ctx context.Context, ids ...secret.KeyID) error {
	for _, id := range ids {
		if _, err := t.exec(ctx, `INSERT INTO master_keys (id) VALUES ($1) ON CONFLICT DO NOTHING`, args{id.String()}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) mayHaveSealed(ctx context.Context) (ids []secret.KeyID, err error) {
	err = t.each(ctx, `SELECT id FROM master_keys ORDER BY id`, nil, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		id, err := secret.ParseKeyID(text)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// mustHold refuses a ring that lacks a key with which values here are sealed.
func (t *tx) mustHold(ctx context.Context) error {
	ids, err := t.mayHaveSealed(ctx)
	if err != nil {
		return err
	}
	if lacks := lacking(ids, t.db.keys.IDs()); len(lacks) > 0 {
		return fmt.Errorf("%w: values are sealed with master key %s, which is not configured", ErrWrongKey, names(lacks))
	}
	return nil
}

// lacking are those of wanted that are not held.
func lacking(wanted, held []secret.KeyID) []secret.KeyID {
	return slices.DeleteFunc(slices.Clone(wanted), func(id secret.KeyID) bool { return slices.Contains(held, id) })
}

func names(ids []secret.KeyID) string {
	var all []string
	for _, id := range ids {
		all = append(all, id.String())
	}
	return strings.Join(all, ", ")
}

// adopt makes the ring do what the database says.
func (db *DB) adopt(c claim) error {
	if !db.keys.SealWith(c.seals) {
		return fmt.Errorf("%w: the key that seals, %s, is not configured", ErrWrongKey, c.seals)
	}
	return db.keys.Adopt(c.root)
}

var _ store.MasterKeys = (*DB)(nil)

// MasterKeys implements [store.MasterKeys].
func (db *DB) MasterKeys(ctx context.Context) (all []store.MasterKey, err error) {
	err = db.View(ctx, func(st store.Tx) error {
		t := st.(*tx)
		all = nil
		ids, err := t.mayHaveSealed(ctx)
		if err != nil {
			return err
		}
		seals, err := t.seals(ctx)
		if err != nil {
			return err
		}
		for _, id := range db.keys.IDs() {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		for _, id := range ids {
			k := store.MasterKey{ID: id, Seals: id == seals, Held: db.keys.Has(id)}
			if k.Values, err = t.countSealed(ctx, `=`, id); err != nil {
				return err
			}
			all = append(all, k)
		}
		return nil
	})
	return all, err
}

// countSealed counts what one key has sealed (=), or any other (<>).
func (t *tx) countSealed(ctx context.Context, is string, id secret.KeyID) (n int, err error) {
	for _, c := range sealedColumns {
		var some int
		query := `SELECT count(*) FROM ` + c.table() + ` WHERE substr(` + c.name() + `, 1, 4) ` + is + ` $1`
		if err := t.one(ctx, query, args{id.Prefix()}, &some); err != nil {
			return n, err
		}
		n += some
	}
	return n, nil
}

// SealWith implements [store.MasterKeys].
func (db *DB) SealWith(ctx context.Context, id secret.KeyID) error {
	if !db.keys.Has(id) {
		return fmt.Errorf("sqlstore: master key %s: %w", id, store.ErrNotFound)
	}
	nodes, err := db.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !slices.Contains(n.Holds, id) {
			return fmt.Errorf("sqlstore: %w: the server that calls itself %s does not hold master key %s", store.ErrStale, n.ID, id)
		}
	}
	if err := db.Update(ctx, func(st store.Tx) error {
		t := st.(*tx)
		if err := t.maySeal(ctx, id); err != nil {
			return err
		}
		return t.PutSetting(ctx, settingSeals, id.String())
	}); err != nil {
		return err
	}
	db.keys.SealWith(id)
	return nil
}

// Nodes that have not been seen for so long are gone: they are killed, or cut off from the database and so
// seal nothing.
const gone = time.Minute

// known is how long what a node has said of itself is as good as saying it again.
const known = 10 * time.Second

// Follow implements [store.MasterKeys]. Most of the time it reads and writes nothing.
func (db *DB) Follow(ctx context.Context, node string) error {
	now, err := db.Now(ctx)
	if err != nil {
		return err
	}
	var seals secret.KeyID
	said := false
	if err := db.View(ctx, func(st store.Tx) (err error) {
		t := st.(*tx)
		if seals, err = t.seals(ctx); err != nil {
			return err
		}
		return t.one(ctx, `SELECT EXISTS (SELECT 1 FROM nodes WHERE id = $1 AND seals = $2 AND seen > $3)`,
			args{node, seals.String(), micros(now.Add(-known))}, &said)
	}); err != nil {
		return err
	}
	if !db.keys.SealWith(seals) {
		return fmt.Errorf("%w: the database is sealed with master key %s by now, which this process was not given", ErrWrongKey, seals)
	}
	if said {
		return nil
	}
	return db.Update(ctx, func(st store.Tx) error {
		_, err := st.(*tx).exec(ctx, `INSERT INTO nodes (id, seen, seals, holds) VALUES ($1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, seals = excluded.seals, holds = excluded.holds`,
			args{node, micros(now), seals.String(), names(db.keys.IDs())})
		return err
	})
}

// Leave implements [store.MasterKeys].
func (db *DB) Leave(ctx context.Context, node string) error {
	now, err := db.Now(ctx)
	if err != nil {
		return err
	}
	return db.Update(ctx, func(st store.Tx) error { // and with it those that were killed, and said nothing
		_, err := st.(*tx).exec(ctx, `DELETE FROM nodes WHERE id = $1 OR seen < $2`, args{node, micros(now.Add(-gone))})
		return err
	})
}

// Nodes implements [store.MasterKeys].
func (db *DB) Nodes(ctx context.Context) (all []store.Node, err error) {
	now, err := db.Now(ctx)
	if err != nil {
		return nil, err
	}
	err = db.View(ctx, func(st store.Tx) error {
		all = nil
		return st.(*tx).each(ctx, `SELECT id, seen, seals, holds FROM nodes WHERE seen > $1 ORDER BY id`, args{micros(now.Add(-gone))},
			func(rows *sql.Rows) error {
				n, err := scanNode(rows)
				all = append(all, n)
				return err
			})
	})
	return all, err
}

func scanNode(rows *sql.Rows) (n store.Node, err error) {
	var seals, holds string
	if err := rows.Scan(&n.ID, timeInto{&n.Seen}, &seals, &holds); err != nil {
		return n, err
	}
	if n.Seals, err = secret.ParseKeyID(seals); err != nil {
		return n, err
	}
	for _, text := range strings.Split(holds, ", ") {
		id, err := secret.ParseKeyID(text)
		if err != nil {
			return n, err
		}
		n.Holds = append(n.Holds, id)
	}
	return n, nil
}

// Reseal implements [store.MasterKeys].
func (db *DB) Reseal(ctx context.Context, r store.Resealing, n int) (store.Resealing, error) {
	if r.Column >= len(sealedColumns) {
		r.Over = true
		return r, db.resealRoot(ctx)
	}
	c := sealedColumns[r.Column]
	rows, err := db.foreign(ctx, c, r.After, n)
	if err != nil {
		return r, err
	}
	for some := range slices.Chunk(rows, batch) {
		done, err := db.reseal(ctx, c, some)
		r.Done += done
		if err != nil {
			return r, err
		}
	}
	for _, row := range rows {
		if row.fresh == nil {
			r.Broken = append(r.Broken, string(c.column)+" of "+row.name)
		}
	}
	if len(rows) < n {
		r.Column, r.After = r.Column+1, ""
		return r, nil
	}
	r.After = string(rows[len(rows)-1].key)
	return r, nil
}

// A resealed value is one that another key than the sealing one has sealed.
type resealed struct {
	key    []byte
	name   string // the key as it is part of the place
	sealed []byte
	fresh  []byte // sealed anew; nil: nothing opens it
}

// foreign reads the next values of a column that other keys have sealed.
func (db *DB) foreign(ctx context.Context, c sealedColumn, after string, n int) (all []resealed, err error) {
	from := c.arg([]byte(after))
	if after == "" && c.digest {
		from = []byte{0} // before every digest but itself, and no driver takes it for NULL
	}
	query := `SELECT ` + c.key + `, ` + c.name() + ` FROM ` + c.table() + ` WHERE ` + c.key + ` > $1
		AND substr(` + c.name() + `, 1, 4) <> $2 ORDER BY ` + c.key + ` LIMIT $3`
	a := args{from, db.keys.Sealing().Prefix(), int64(n)}
	err = db.View(ctx, func(st store.Tx) error {
		all = nil
		return st.(*tx).each(ctx, query, a, func(rows *sql.Rows) error {
			var r resealed
			err := rows.Scan(&r.key, &r.sealed)
			all = append(all, r)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].name = c.row(all[i].key)
		place := c.place(all[i].name)
		if plain, err := db.keys.Open(place, all[i].sealed); err == nil {
			all[i].fresh = db.keys.Seal(place, plain)
		}
	}
	return all, nil
}

// reseal replaces values that are still what was read: what somebody wrote meanwhile was sealed with the new key.
func (db *DB) reseal(ctx context.Context, c sealedColumn, some []resealed) (done int, err error) {
	query := `UPDATE ` + c.table() + ` SET ` + c.name() + ` = $3 WHERE ` + c.key + ` = $1 AND ` + c.name() + ` = $2`
	err = db.Update(ctx, func(st store.Tx) error {
		done = 0
		for _, r := range some {
			if r.fresh == nil {
				continue
			}
			n, err := st.(*tx).exec(ctx, query, args{c.arg(r.key), r.sealed, r.fresh})
			if err != nil {
				return err
			}
			done += int(n)
		}
		return nil
	})
	return done, err
}

func (db *DB) resealRoot(ctx context.Context) error {
	return db.Update(ctx, func(st store.Tx) error {
		t := st.(*tx)
		marked, err := t.Setting(ctx, settingRoot)
		if err != nil {
			return err
		}
		root, err := openRoot(db.keys, marked)
		if err != nil {
			return err
		}
		return t.PutSetting(ctx, settingRoot, base64.StdEncoding.EncodeToString(t.seal(settingValue, settingRoot, root.Marshal())))
	})
}

// DropMasterKeys implements [store.MasterKeys].
func (db *DB) DropMasterKeys(ctx context.Context) (dropped []secret.KeyID, err error) {
	err = db.Update(ctx, func(st store.Tx) error {
		t := st.(*tx)
		seals, err := t.seals(ctx)
		if err != nil {
			return err
		}
		left, err := t.countSealed(ctx, `<>`, seals)
		if err != nil {
			return err
		}
		marked, err := t.Setting(ctx, settingRoot)
		if err != nil {
			return err
		}
		if sealed, err := base64.StdEncoding.DecodeString(marked); err != nil || !strings.HasPrefix(string(sealed), string(seals.Prefix())) {
			left++
		}
		if left > 0 {
			return fmt.Errorf("sqlstore: %w: %d values are sealed with other master keys than %s", store.ErrStale, left, seals)
		}
		ids, err := t.mayHaveSealed(ctx)
		if err != nil {
			return err
		}
		dropped = lacking(ids, []secret.KeyID{seals})
		_, err = t.exec(ctx, `DELETE FROM master_keys WHERE id <> $1`, args{seals.String()})
		return err
	})
	return dropped, err
}
