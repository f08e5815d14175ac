package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

type migrateCommand struct {
	configured
	DryRun bool `help:"Run what is pending on the data that is there, and take it back."`
	JSON   bool `name:"json" help:"As JSON."`
}

// Run brings the schema up to date, and shows what it did or would do.
func (c migrateCommand) Run(ctx context.Context, out io.Writer) error {
	settings, err := c.read()
	if err != nil {
		return err
	}
	run, what := sqlstore.Migration(sqlstore.Upgrade), "did"
	if c.DryRun {
		run, what = sqlstore.Rehearse, "would do"
	}
	names, err := onDatabase(ctx, settings, run)
	if err != nil {
		return err
	}
	if !c.DryRun && len(names) > 0 {
		if err := c.record(ctx, settings, names); err != nil {
			return fmt.Errorf("the schema is up to date, and that cannot be recorded: %w", err)
		}
	}
	if c.JSON {
		return printJSON(out, struct {
			DryRun     bool     `json:"dry_run"`
			Migrations []string `json:"migrations"`
		}{c.DryRun, append([]string{}, names...)})
	}
	if len(names) == 0 {
		_, err = fmt.Fprintln(out, "The schema is up to date.")
	}
	for _, name := range names {
		if _, err = fmt.Fprintln(out, what, name); err != nil {
			return err
		}
	}
	return err
}

// record tells the audit log who migrated, once the schema is one that has a place for it.
func (c migrateCommand) record(ctx context.Context, settings config.Config, names []string) error {
	keys, err := openKeys(ctx, settings.Keys)
	if err != nil {
		return err
	}
	db, err := openStore(ctx, settings, keys, prompt(), sqlstore.LeaveSchema)
	if err != nil {
		return err
	}
	event := atPrompt(audit.SchemaMigrated)
	event.Target, event.Reason = "schema", strings.Join(names, " ")
	err = db.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, event) })
	return errors.Join(err, db.Close())
}
