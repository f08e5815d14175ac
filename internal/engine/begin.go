package engine

import (
	"context"
	"errors"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Begin starts a flow for a request that was checked, and returns its interaction handle.
func (e *Engine) Begin(ctx context.Context, r flow.Request) (secret.Text, error) {
	interaction := secret.Random()
	r.Device = e.deviceDigest(DeviceOf(ctx).Token)
	state := e.fresh(e.stateHandle(interaction.Reveal()), interaction, r)
	err := e.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddFlow(ctx, state, state.Expires(e.Flow)); err != nil {
			return err
		}
		return tx.Record(ctx, e.event(ctx, scene{state: state, now: state.Created}, flow.Record{Type: audit.FlowBegun, OK: true}))
	})
	if err != nil {
		return "", ill(err)
	}
	return interaction, nil
}

func (e *Engine) fresh(handle, interaction secret.Text, r flow.Request) flow.State {
	return flow.Begin(secret.DigestOf(secret.StateHandle, handle.Reveal()), secret.DigestOf(secret.InteractionHandle, interaction.Reveal()), r, e.Now())
}

// Introspect returns where a flow stands, by its interaction handle or by its state handle. It changes nothing.
func (e *Engine) Introspect(ctx context.Context, interaction, state secret.Text) (*Page, error) {
	find := func(tx store.Tx) (flow.State, error) {
		return tx.Flow(ctx, secret.DigestOf(secret.StateHandle, state.Reveal()))
	}
	if interaction != "" {
		state = e.stateHandle(interaction.Reveal())
		find = func(tx store.Tx) (flow.State, error) {
			return tx.FlowByInteraction(ctx, secret.DigestOf(secret.InteractionHandle, interaction.Reveal()))
		}
	}
	sc, err := e.look(ctx, state, find)
	if err != nil {
		return nil, err
	}
	if !sc.state.Live(e.Flow, sc.now) {
		return nil, expired(string(sc.state.Stage) + " or out of time")
	}
	return e.page(sc), nil
}

// Cancel ends a flow and begins a fresh one for the same request, whose first page it returns: clients
// want a form in the answer. Both old handles are dead (S-23); the new state handle follows from the old
// one, so that cancelling twice answers the same.
func (e *Engine) Cancel(ctx context.Context, handle secret.Text) (*Page, error) {
	sc, err := e.byState(ctx, handle)
	if err != nil {
		return nil, err
	}
	next := e.stateHandle("after cancel", handle.Reveal())
	if sc.state.Stage == flow.Cancelled {
		after, err := e.live(ctx, next)
		switch {
		case err != nil:
			return nil, err
		case after.state.Version > 0:
			return nil, expired("cancelled, and its successor is under way") // a dead handle must not lead to where a person is now
		}
		return e.page(after), nil
	}
	if !sc.state.Live(e.Flow, sc.now) {
		return nil, expired(string(sc.state.Stage) + " or out of time")
	}
	cancelled, effects, err := flow.Next(sc.state, sc.facts(), flow.Cancel{})
	if err != nil {
		return nil, e.notOffered(err)
	}
	state := e.fresh(next, secret.Random(), sc.state.Request.Afresh())
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		if err := e.carryOut(ctx, tx, sc, cancelled, effects); err != nil {
			return err
		}
		return tx.AddFlow(ctx, state, state.Expires(e.Flow))
	})
	switch {
	case errors.Is(err, store.ErrStale):
		return e.Cancel(ctx, handle) // moved meanwhile: cancel what it has become; ends, for cancelling is final
	case err != nil:
		return nil, ill(err)
	}
	after, err := e.live(ctx, next) // by the policy of a plain sign-in, where that was something else
	if err != nil {
		return nil, err
	}
	return e.page(after), nil
}

// notOffered is the answer to a step that is not on the page (S-19).
func (e *Engine) notOffered(err error) error {
	return fault.New(fault.Invalid, msg.NotOffered, "%w", err)
}
