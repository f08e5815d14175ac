package main

import (
	"context"
	"fmt"
	"io"

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
