package sqlstore

import (
	"context"
	"fmt"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func (t *tx) AddFlow(ctx context.Context, s flow.State, expires time.Time) error {
	return added(t.exec(ctx, `INSERT INTO flows (handle, interaction, version, format, expires, state)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		args{s.Handle[:], orNull(s.Interaction), s.Version, int64(stateFormat), micros(expires), t.sealState(s.Handle, encodeState(s))}))
}

const flowColumns = `handle, interaction, version, format, state`

func (t *tx) Flow(ctx context.Context, h flow.Handle) (flow.State, error) {
	return t.flow(ctx, `SELECT `+flowColumns+` FROM flows WHERE handle = $1`, h[:])
}

func (t *tx) FlowByInteraction(ctx context.Context, h secret.Digest) (flow.State, error) {
	return t.flow(ctx, `SELECT `+flowColumns+` FROM flows WHERE interaction = $1`, h[:])
}

func (t *tx) flow(ctx context.Context, query string, key []byte) (flow.State, error) {
	s, plain, err := t.rawFlow(ctx, query, key)
	if err != nil {
		return flow.State{}, err
	}
	if err := decodeState(plain, &s); err != nil {
		return flow.State{}, t.fail(fmt.Errorf("sqlstore: flow %s: %w", s.Handle, err))
	}
	return s, nil
}

// rawFlow reads a row: the columns as a state, and the opened rest.
func (t *tx) rawFlow(ctx context.Context, query string, key []byte) (flow.State, []byte, error) {
	var s flow.State
	var format int64
	var sealed []byte
	err := t.one(ctx, query, args{key}, digestInto{(*secret.Digest)(&s.Handle)}, digestInto{&s.Interaction}, &s.Version, &format, &sealed)
	if err != nil {
		return flow.State{}, nil, err
	}
	plain, err := t.unseal(flowState, rowOf(s.Handle), sealed)
	return s, plain, err
}

// PutFlow replaces the state, on the condition that it is the one that was read. A state that a newer
// binary wrote may hold what we do not know: that is kept, by merging.
func (t *tx) PutFlow(ctx context.Context, s flow.State, expires time.Time) error {
	plain := encodeState(s)
	n, err := t.putFlow(ctx, s, expires, stateFormat, plain)
	if err != nil || n == 1 {
		return err
	}
	found, old, err := t.rawFlow(ctx, `SELECT `+flowColumns+` FROM flows WHERE handle = $1`, s.Handle[:])
	if err == store.ErrNotFound || err == nil && found.Version != s.Version {
		return store.ErrStale // gone, or saved by somebody else
	}
	if err != nil {
		return err
	}
	if plain, err = mergeState(old, plain); err != nil {
		return t.fail(fmt.Errorf("sqlstore: flow %s: %w", s.Handle, err))
	}
	return stale(t.putFlow(ctx, s, expires, anyFormat, plain))
}

// anyFormat overwrites whatever format is there.
const anyFormat = 1 << 30

func (t *tx) putFlow(ctx context.Context, s flow.State, expires time.Time, upTo int, plain []byte) (int64, error) {
	return t.exec(ctx, `UPDATE flows SET version = version + 1, expires = $3, state = $4
		WHERE handle = $1 AND version = $2 AND format <= $5`,
		args{s.Handle[:], s.Version, micros(expires), t.sealState(s.Handle, plain), int64(upTo)})
}

func (t *tx) sealState(h flow.Handle, plain []byte) []byte { return t.seal(flowState, rowOf(h), plain) }
