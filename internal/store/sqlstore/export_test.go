package sqlstore

import (
	"context"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/store"
)

// What a test needs to play another version of this binary.
var (
	EncodeState = encodeState
	StateFormat = stateFormat
)

// RawState returns a flow's state as it is written, opened.
func RawState(ctx context.Context, stx store.Tx, h flow.Handle) ([]byte, error) {
	_, plain, err := stx.(*tx).rawFlow(ctx, `SELECT `+flowColumns+` FROM flows WHERE handle = $1`, h[:])
	return plain, err
}

// PutRawState writes a state as a binary of that format would.
func PutRawState(ctx context.Context, stx store.Tx, h flow.Handle, format int, plain []byte) error {
	t := stx.(*tx)
	return present(t.exec(ctx, `UPDATE flows SET format = $2, state = $3 WHERE handle = $1`,
		args{h[:], int64(format), t.sealState(h, plain)}))
}
