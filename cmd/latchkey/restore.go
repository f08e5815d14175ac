package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

type restoreCommand struct {
	configured
	From       string `required:"" help:"The backup." placeholder:"FILE"`
	Verify     bool   `help:"Prove that it can be restored: whole, unchanged, opened by the configured master keys. Touches nothing."`
	Replace    bool   `help:"Throw away what is in the database."`
	KeepTokens bool   `help:"Let refresh tokens from before stay good, those too that were used or revoked since the backup."`
	JSON       bool   `name:"json" help:"As JSON."`
}

// Run restores a backup into the configured database, of whichever kind.
func (c restoreCommand) Run(ctx context.Context, out io.Writer) error {
	settings, err := c.read()
	if err != nil {
		return err
	}
	ring, err := openKeys(ctx, settings.Keys)
	if err != nil {
		return err
	}
	file, err := os.Open(c.From)
	if err != nil {
		return err
	}
	defer file.Close()
	if c.Verify {
		info, err := sqlstore.Verify(file, ring)
		if err != nil {
			return err
		}
		return c.say(out, "good", info)
	}
	by := atPrompt(audit.BackupRestored)
	if c.KeepTokens {
		by.Reason = "tokens kept"
	}
	info, err := intoDatabase(ctx, settings, ring, file, store.Restore{Replace: c.Replace, KeepTokens: c.KeepTokens, By: by})
	if err != nil {
		return err
	}
	db, err := openStore(ctx, settings, ring, prompt(), sqlstore.LeaveSchema) // it is recorded when it is opened
	if err != nil {
		return fmt.Errorf("the backup is restored and does not open: %w", err)
	}
	if err := db.Close(); err != nil {
		return err
	}
	return c.say(out, "restored", info)
}

func (c restoreCommand) say(out io.Writer, what string, info store.BackupInfo) error {
	if c.JSON {
		return printJSON(out, backupJSONOf(c.From, info))
	}
	_, err := fmt.Fprintf(out, "%s is %s: %s\n", c.From, what, inWords(info))
	return err
}
