package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/store"
)

// ledgerKept is how long the ledger goes back: a year, and the month in which it is looked at.
const ledgerKept = 400 * 24 * time.Hour

// windowOf names a window of a budget.
func windowOf(scope string, per time.Duration, starts time.Time) string {
	return fmt.Sprintf("%s %s %d", scope, per, starts.Unix())
}

func (t *tx) TakeBudget(ctx context.Context, take store.Take) (bool, error) {
	most, dearest := int64(take.Cap.Max), take.Cap.Cost
	if most == 0 {
		most = math.MaxInt64
	}
	if dearest == 0 {
		dearest = math.MaxInt64 - take.Cost
	}
	if take.Cost > dearest {
		return false, store.ErrSpent // the first row is inserted, and an INSERT has no condition
	}
	id := windowOf(take.Scope, take.Cap.Per, take.Starts())
	var used, cost int64
	var alerted bool
	err := t.one(ctx, `INSERT INTO budgets (id, used, cost, alerted, ends) VALUES ($1, 1, $2, FALSE, $3)
		ON CONFLICT (id) DO UPDATE SET used = budgets.used + 1, cost = budgets.cost + excluded.cost
		WHERE budgets.used < $4 AND budgets.cost <= $5 RETURNING used, cost, alerted`,
		args{id, take.Cost, micros(take.Ends()), most, dearest - take.Cost}, &used, &cost, &alerted)
	switch {
	case err == store.ErrNotFound:
		return false, store.ErrSpent
	case err != nil:
		return false, err
	case alerted || !low(used, int64(take.Cap.Max)) && !low(cost, take.Cap.Cost):
		return false, nil
	}
	n, err := t.exec(ctx, `UPDATE budgets SET alerted = TRUE WHERE id = $1 AND alerted = FALSE`, args{id})
	return n == 1, err
}

// low reports whether a budget is nearly used; one without a cap never is.
func low(used, most int64) bool { return most > 0 && float64(used)*100 >= float64(most)*limit.Low }

// giveBack undoes TakeBudget in all windows that a message was counted in, in the order in which it was.
func (t *tx) giveBack(ctx context.Context, country string, at time.Time, cost int64) error {
	for _, scope := range []string{country, ""} {
		for _, per := range []time.Duration{24 * time.Hour, time.Hour} {
			id := windowOf(scope, per, store.Take{Cap: limit.Cap{Per: per}, At: at}.Starts())
			if _, err := t.exec(ctx, `UPDATE budgets SET used = used - 1, cost = cost - $2 WHERE id = $1 AND used > 0`, args{id, cost}); err != nil {
				return err
			}
		}
		if country == "" {
			break
		}
	}
	return nil
}

func (t *tx) PutCharge(ctx context.Context, c store.Charge) error {
	_, err := t.exec(ctx, `INSERT INTO charges (message, gateway, country, at, sure, price, currency, send_id, proved, delivery, reported)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)
		ON CONFLICT (message, gateway) DO UPDATE SET sure = TRUE WHERE charges.sure = FALSE AND excluded.sure`,
		args{c.Message, c.Gateway, c.Country, micros(c.At), c.Sure, c.Price, c.Currency, c.Send, c.Proved, string(c.Delivery)})
	return err
}

func (t *tx) Deliver(ctx context.Context, message, gateway string, d store.Delivery, at time.Time) (store.Charge, error) {
	c := store.Charge{Message: message, Gateway: gateway, Sure: true, Delivery: d}
	err := t.one(ctx, `UPDATE charges SET delivery = $3, reported = $4, sure = TRUE
		WHERE message = $1 AND gateway = $2 AND delivery <> $3 AND delivery <> 'delivered'
		RETURNING country, at, price, currency, send_id, proved`,
		args{message, gateway, string(d), mark(at)}, &c.Country, timeInto{&c.At}, &c.Price, &c.Currency, &c.Send, &c.Proved)
	if err == store.ErrNotFound {
		var known int
		if err := t.one(ctx, `SELECT 1 FROM charges WHERE message = $1 AND gateway = $2`, args{message, gateway}, &known); err != nil {
			return store.Charge{}, err
		}
		return store.Charge{}, store.ErrStale
	}
	if err != nil {
		return store.Charge{}, err
	}
	_, err = t.exec(ctx, `UPDATE sends SET lost = $2 WHERE id = $1`, args{c.Send, d == store.Undelivered})
	return c, err
}

func (t *tx) Spent(ctx context.Context, since, until time.Time) ([]store.Spent, error) {
	const day = int64(24 * time.Hour / time.Microsecond)
	sum := func(condition, what string) string {
		return `CAST(sum(CASE WHEN ` + condition + ` THEN ` + what + ` ELSE 0 END) AS BIGINT)`
	}
	var all []store.Spent
	err := t.each(ctx, `SELECT (at / $3) * $3 AS day, country, gateway, currency, `+sum(`sure`, `1`)+`, `+sum(`sure`, `price`)+`, `+
		sum(`NOT sure`, `1`)+`, `+sum(`NOT sure`, `price`)+`, `+sum(`delivery = 'delivered'`, `1`)+`, `+sum(`delivery = 'undelivered'`, `1`)+`
		FROM charges WHERE at >= $1 AND at < $2 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`,
		args{micros(since), micros(until), day}, func(rows *sql.Rows) error {
			var s store.Spent
			err := rows.Scan(timeInto{&s.Day}, &s.Country, &s.Gateway, &s.Currency, &s.Messages, &s.Price, &s.Unsure, &s.UnsurePrice, &s.Delivered, &s.Undelivered)
			all = append(all, s)
			return err
		})
	return all, err
}
