package sqlstore

import (
	"encoding/hex"
	"fmt"
	"strings"

	"latchkey.dev/internal/secret"
)

// A column is one whose values are sealed, as table.column.
type column string

const (
	flowState        column = "flows.state"
	challengeNumber  column = "challenges.number"
	enrollmentSecret column = "enrollments.secret"
	messageRecipient column = "messages.recipient"
	messageBody      column = "messages.body"
	signingPrivate   column = "signing_keys.private"
	certificateData  column = "certificates.data"
)

// A sealedColumn is a column and what finds its rows.
type sealedColumn struct {
	column
	key    string
	digest bool // the key is a digest, and named in hexadecimal
}

// sealedColumns are all of them, beside the one setting. What is not here is not sealed anew when the master key
// changes; a test finds columns that the schema calls sealed and this list forgets.
var sealedColumns = []sealedColumn{
	{flowState, "handle", true},
	{challengeNumber, "id", false},
	{enrollmentSecret, "id", false},
	{messageRecipient, "id", false},
	{messageBody, "id", false},
	{signingPrivate, "id", false},
	{certificateData, "name", false},
}

// place is where a value belongs; it opens nowhere else (S-67).
func (c column) place(row string) string { return string(c) + ":" + row }

func (c column) table() string { table, _, _ := strings.Cut(string(c), "."); return table }
func (c column) name() string  { _, name, _ := strings.Cut(string(c), "."); return name }

// row names a row by its key, as the place does.
func (c sealedColumn) row(key []byte) string {
	if c.digest {
		return hex.EncodeToString(key)
	}
	return string(key)
}

// arg is a key as the argument of a statement.
func (c sealedColumn) arg(key []byte) any {
	if c.digest {
		return key
	}
	return string(key)
}

// rowOf names a row whose key is a digest.
func rowOf(d secret.Digest) string { return hex.EncodeToString(d[:]) }

// seal encrypts a value for one row of one column (S-67).
func (t *tx) seal(c column, row string, plain []byte) []byte {
	return t.db.keys.Seal(c.place(row), plain)
}

func (t *tx) unseal(c column, row string, sealed []byte) ([]byte, error) {
	plain, err := t.db.keys.Open(c.place(row), sealed)
	if err != nil {
		return nil, t.fail(fmt.Errorf("sqlstore: %s of %s: %w", c, row, err))
	}
	return plain, nil
}
