package sqlstore

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A backup is lines of JSON, compressed with gzip: a header, then for each table its name and columns and a line
// for each row, then an end with the number of rows, the SHA-256 of all that stands before it, and that sum once
// more as a keyed one, which nobody makes without the master key. Values stand as they are stored, so what is
// sealed stays sealed. Neither line nor value says which kind of database it came from, so it goes into any.

// ErrBackup refuses a file that is no backup, or not the one that was made.
var ErrBackup = errors.New("sqlstore: this backup cannot be trusted")

const backupFormat = 1

type headLine struct {
	Latchkey string    `json:"latchkey"` // "backup"
	Format   int       `json:"format"`
	Made     time.Time `json:"made"`
	Schema   int64     `json:"schema"`
}

type tableLine struct {
	Table   string  `json:"table"`
	Columns []field `json:"columns"`
}

type endLine struct {
	End endSums `json:"end"`
}

type endSums struct {
	Rows   map[string]int `json:"rows"`
	SHA256 string         `json:"sha256"`
	Keyed  string         `json:"keyed"`
}

var _ store.Backup = (*DB)(nil)

// Backup implements [store.Backup].
func (db *DB) Backup(ctx context.Context, w io.Writer, made time.Time) (store.BackupInfo, error) {
	packed := gzip.NewWriter(w)
	b := &backupWriter{ctx: ctx, buffer: bufio.NewWriterSize(packed, 1<<16), sum: sha256.New(), keys: db.keys,
		info: store.BackupInfo{Made: made.UTC().Truncate(time.Second), Rows: map[string]int{}}}
	err := db.engine.Snapshot(ctx, func(q Querier) error { return b.all(q, db.dialect) })
	if err != nil {
		return b.info, db.failure(err)
	}
	return b.info, errors.Join(b.buffer.Flush(), packed.Close())
}

type backupWriter struct {
	ctx    context.Context
	buffer *bufio.Writer
	sum    hash.Hash
	keys   *secret.Keys
	info   store.BackupInfo
}

func (b *backupWriter) all(q Querier, d Dialect) error {
	tables, err := catalog(b.ctx, q, d)
	if err != nil {
		return err
	}
	if err := b.describe(q); err != nil {
		return err
	}
	if err := b.line(headLine{"backup", backupFormat, b.info.Made, b.info.Schema}); err != nil {
		return err
	}
	for _, t := range tables {
		if err := b.table(q, t); err != nil {
			return fmt.Errorf("sqlstore: %s: %w", t.name, err)
		}
	}
	sum := hex.EncodeToString(b.sum.Sum(nil))
	keyed := b.keys.MAC(secret.MACBackup, sum)
	return b.line(endLine{endSums{b.info.Rows, sum, hex.EncodeToString(keyed[:])}})
}

// describe reads what the header says, in the same snapshot as all the rest.
func (b *backupWriter) describe(q Querier) error {
	err := pairs(b.ctx, q, `SELECT CAST(max(version_id) AS TEXT) FROM goose_db_version WHERE is_applied`, 1, func(v []string) (err error) {
		b.info.Schema, err = strconv.ParseInt(v[0], 10, 64)
		return err
	})
	if err != nil {
		return err
	}
	if err := pairs(b.ctx, q, `SELECT value FROM settings WHERE name = '`+settingOrg+`'`, 1, func(v []string) error {
		b.info.Org = v[0]
		return nil
	}); err != nil {
		return err
	}
	return pairs(b.ctx, q, `SELECT id FROM master_keys ORDER BY id`, 1, func(v []string) error {
		id, err := secret.ParseKeyID(v[0])
		b.info.Keys = append(b.info.Keys, id)
		return err
	})
}

func (b *backupWriter) table(q Querier, t table) error {
	if err := b.line(tableLine{t.name, t.columns}); err != nil {
		return err
	}
	b.info.Rows[t.name] = 0
	if transient[t.name] {
		return nil // described, so that nobody wonders where it is
	}
	rows, err := q.Query(b.ctx, `SELECT `+t.names()+` FROM `+t.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	values, dest := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, c := range t.columns {
			if values[i], err = c.portable(values[i]); err != nil {
				return err
			}
		}
		if err := b.line(values); err != nil {
			return err
		}
		b.info.Rows[t.name]++
		if err := b.ctx.Err(); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// line writes one line.
func (b *backupWriter) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	b.sum.Write(text)
	_, err = b.buffer.Write(text)
	return err
}

// portable makes of what a driver returned what every driver takes: nil, text, a number, a truth, bytes.
func (c field) portable(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if c.Type == isText {
			return v, nil
		}
	case []byte:
		switch c.Type {
		case isBytes:
			return v, nil
		case isText:
			return string(v), nil
		}
	case int64:
		switch c.Type {
		case isInt:
			return v, nil
		case isBool:
			return v != 0, nil
		}
	case bool:
		if c.Type == isBool {
			return v, nil
		}
	}
	return nil, fmt.Errorf("a %T in %s, which holds %s", v, c.Name, c.Type)
}

// A backupReader reads a backup line by line, and says at the end whether it is whole.
type backupReader struct {
	lines *bufio.Reader
	sum   hash.Hash
	table tableLine
	info  store.BackupInfo
	end   *endSums
}

// longestLine bounds a row: the longest that we write is a flow's, of some kilobytes.
const longestLine = 16 << 20

func readBackup(r io.Reader) (*backupReader, error) {
	packed, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no backup: %w", ErrBackup, err)
	}
	b := &backupReader{lines: bufio.NewReaderSize(packed, 1<<16), sum: sha256.New()}
	text, err := b.line()
	if err != nil {
		return nil, err
	}
	var head headLine
	if err := json.Unmarshal(text, &head); err != nil || head.Latchkey != "backup" {
		return nil, fmt.Errorf("%w: it is no backup", ErrBackup)
	}
	if head.Format != backupFormat {
		return nil, fmt.Errorf("%w: its format is %d, and this program reads %d", ErrNewerSchema, head.Format, backupFormat)
	}
	b.info = store.BackupInfo{Made: head.Made, Schema: head.Schema, Rows: map[string]int{}}
	b.sum.Write(text)
	return b, nil
}

func (b *backupReader) line() (text []byte, err error) {
	for {
		some, err := b.lines.ReadSlice('\n')
		text = append(text, some...)
		switch {
		case err == nil:
			return text, nil
		case len(text) > longestLine:
			return nil, fmt.Errorf("%w: a line of it has no end", ErrBackup)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: it breaks off: %w", ErrBackup, err)
		}
	}
}

// next returns the next row and its table; nil at the end.
func (b *backupReader) next() (row []any, err error) {
	for {
		text, err := b.line()
		if err != nil {
			return nil, err
		}
		switch {
		case text[0] == '[':
			b.sum.Write(text)
			b.info.Rows[b.table.Table]++
			return b.table.row(text)
		case bytes.HasPrefix(text, []byte(`{"table"`)):
			b.sum.Write(text)
			b.table = tableLine{}
			if err := json.Unmarshal(text, &b.table); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrBackup, err)
			}
			b.info.Rows[b.table.Table] = 0
		default:
			return nil, b.last(text)
		}
	}
}

// last judges the end.
func (b *backupReader) last(text []byte) error {
	var end endLine
	if err := json.Unmarshal(text, &end); err != nil {
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	if _, err := b.lines.ReadByte(); !errors.Is(err, io.EOF) { // gzip compares its own sum when it gets there
		return fmt.Errorf("%w: something stands behind its end (%v)", ErrBackup, err)
	}
	if sum := hex.EncodeToString(b.sum.Sum(nil)); sum != end.End.SHA256 || !maps.Equal(b.info.Rows, end.End.Rows) {
		return fmt.Errorf("%w: it is not what was written (SHA-256 %s, want %s)", ErrBackup, sum, end.End.SHA256)
	}
	b.end = &end.End
	return nil
}

// row reads a row in the types of its table.
func (t tableLine) row(text []byte) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil || len(raw) != len(t.Columns) {
		return nil, fmt.Errorf("%w: a row of %s has %d values", ErrBackup, t.Table, len(raw))
	}
	row := make([]any, len(raw))
	for i, c := range t.Columns {
		v, err := c.read(raw[i])
		if err != nil {
			return nil, fmt.Errorf("%w: %s.%s: %w", ErrBackup, t.Table, c.Name, err)
		}
		row[i] = v
	}
	return row, nil
}

func (c field) read(raw json.RawMessage) (any, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	switch c.Type {
	case isText:
		return into[string](raw)
	case isInt:
		return into[int64](raw)
	case isBool:
		return into[bool](raw)
	case isBytes:
		return into[[]byte](raw)
	}
	return nil, fmt.Errorf("nothing is known of %q", c.Type)
}

func into[T any](raw json.RawMessage) (any, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}

// Verify reads a whole backup and proves that it can be restored with these master keys: that it is whole and
// unchanged, and that every sealed value in it opens. It touches nothing.
func Verify(r io.Reader, keys *secret.Keys) (store.BackupInfo, error) {
	b, err := readBackup(r)
	if err != nil {
		return store.BackupInfo{}, err
	}
	v := verifier{keys: keys}
	for b.end == nil {
		row, err := b.next()
		if err != nil {
			return b.info, err
		}
		if row != nil {
			v.row(b.table, row, &b.info)
		}
	}
	return b.info, v.verdict(b)
}

// A verifier looks at what a backup says of its keys.
type verifier struct {
	keys   *secret.Keys
	root   string
	closed []string // sealed values that do not open
}

func (v *verifier) row(t tableLine, row []any, info *store.BackupInfo) {
	switch t.Table {
	case "settings":
		switch t.text(row, "name") {
		case settingRoot:
			v.root = t.text(row, "value")
		case settingOrg:
			info.Org = t.text(row, "value")
		}
	case "master_keys":
		if id, err := secret.ParseKeyID(t.text(row, "id")); err == nil {
			info.Keys = append(info.Keys, id)
		}
	}
	for _, c := range sealedColumns {
		if c.table() != t.Table {
			continue
		}
		key, _ := t.value(row, c.key)
		sealed, _ := t.value(row, c.name())
		if sealed == nil {
			continue
		}
		name := c.row(asBytes(key))
		if _, err := v.keys.Open(c.place(name), asBytes(sealed)); err != nil {
			v.closed = append(v.closed, string(c.column)+" of "+name)
		}
		info.Sealed++
	}
}

func asBytes(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}

func (t tableLine) value(row []any, column string) (any, bool) {
	i := slices.IndexFunc(t.Columns, func(c field) bool { return c.Name == column })
	if i < 0 {
		return nil, false
	}
	return row[i], true
}

func (t tableLine) text(row []any, column string) string {
	v, _ := t.value(row, column)
	s, _ := v.(string)
	return s
}

func (v *verifier) verdict(b *backupReader) error {
	if lacks := lacking(b.info.Keys, v.keys.IDs()); len(lacks) > 0 {
		return fmt.Errorf("%w: it is sealed with master key %s, which is not configured", ErrWrongKey, names(lacks))
	}
	root, err := openRoot(v.keys, v.root)
	if err != nil {
		return err
	}
	keyed, err := root.MAC(secret.MACBackup, b.end.SHA256)
	if err != nil {
		return err
	}
	if said, err := hex.DecodeString(b.end.Keyed); err != nil || len(said) != len(keyed) || !keyed.Equal(secret.Digest(said)) {
		return fmt.Errorf("%w: somebody without the master key has changed it", ErrBackup)
	}
	if len(v.closed) > 0 {
		return fmt.Errorf("%w: %d sealed values do not open, the first of them %s", ErrBackup, len(v.closed), v.closed[0])
	}
	return nil
}
