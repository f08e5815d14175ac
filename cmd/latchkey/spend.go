package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"latchkey.dev/internal/config"
	"latchkey.dev/internal/store"
)

type spendCommand struct {
	configured
	Since time.Time `help:"From this day on, UTC; without it the last 30 days." format:"2006-01-02" placeholder:"DAY"`
	Until time.Time `help:"Until before this day, UTC; without it until now." format:"2006-01-02" placeholder:"DAY"`
	JSON  bool      `name:"json" help:"Say it as JSON, a line for each day, country and gateway."`
}

// A line of the ledger, as JSON.
type spendLine struct {
	Day         string `json:"day"`
	Country     string `json:"country"`
	Gateway     string `json:"gateway"`
	Currency    string `json:"currency"`
	Messages    int    `json:"messages"`
	Price       string `json:"price"`
	Unsure      int    `json:"unsure"`
	UnsurePrice string `json:"unsure_price"`
	Delivered   int    `json:"delivered"`
	Undelivered int    `json:"undelivered"`
}

// Run prints what text messages cost, by day, country and gateway.
func (c spendCommand) Run(ctx context.Context, out io.Writer) (err error) {
	_, _, db, err := c.open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	now := time.Now().UTC()
	if c.Until.IsZero() {
		c.Until = now
	}
	if c.Since.IsZero() {
		c.Since = c.Until.Truncate(24*time.Hour).AddDate(0, 0, -30)
	}
	var all []store.Spent
	err = db.View(ctx, func(tx store.Tx) (err error) {
		all, err = tx.Spent(ctx, c.Since, c.Until)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return spendJSON(out, all)
	}
	return spendTable(out, all)
}

func spendJSON(out io.Writer, all []store.Spent) error {
	lines := json.NewEncoder(out)
	for _, s := range all {
		if err := lines.Encode(spendLine{
			s.Day.Format(time.DateOnly), s.Country, s.Gateway, s.Currency, s.Messages, amount(s.Price), s.Unsure, amount(s.UnsurePrice), s.Delivered, s.Undelivered,
		}); err != nil {
			return err
		}
	}
	return nil
}

func spendTable(out io.Writer, all []store.Spent) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "Nothing was sent.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "day\tcountry\tgateway\ttexts\tcost\t\tunsure\tdelivered\tlost\t")
	sums := map[string]int64{}
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t\n", s.Day.Format(time.DateOnly), s.Country, s.Gateway, s.Messages, amount(s.Price),
			s.Currency, s.Unsure, s.Delivered, s.Undelivered)
		sums[s.Currency] += s.Price
	}
	for currency, sum := range sums {
		fmt.Fprintf(w, "\t\tin all\t\t%s\t%s\t\t\t\t\n", amount(sum), currency)
	}
	return w.Flush()
}

// amount writes millionths as people do.
func amount(millionths int64) string {
	text, err := config.Money(millionths).MarshalText()
	if err != nil {
		return err.Error()
	}
	return string(text)
}
