package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

type backupCommand struct {
	configured
	To   string `required:"" help:"Write the backup there. A file that exists is never touched." placeholder:"FILE"`
	JSON bool   `name:"json" help:"As JSON."`
}

// Run writes a backup, reads it again, and only then gives it its name: a file of that name is a good backup.
func (c backupCommand) Run(ctx context.Context, out io.Writer) (err error) {
	if _, err := os.Stat(c.To); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists, and is not written over", c.To)
	}
	_, ring, db, err := c.open(ctx, prompt())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	file, err := os.CreateTemp(filepath.Dir(c.To), filepath.Base(c.To)+".*") // 0600
	if err != nil {
		return err
	}
	info, err := writeBackup(ctx, db, ring, file)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Link(file.Name(), c.To) // which, unlike a renaming, replaces nothing
	}
	if err = errors.Join(err, os.Remove(file.Name())); err != nil {
		return err
	}
	made := atPrompt(audit.BackupMade)
	made.Target = filepath.Base(c.To)
	if err := db.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, made) }); err != nil {
		return fmt.Errorf("the backup is made and cannot be recorded: %w", err)
	}
	if c.JSON {
		return printJSON(out, backupJSONOf(c.To, info))
	}
	_, err = fmt.Fprintf(out, "%s: %s\n", c.To, inWords(info))
	return err
}

func writeBackup(ctx context.Context, db store.Backup, ring *secret.Keys, file *os.File) (store.BackupInfo, error) {
	info, err := db.Backup(ctx, file, time.Now())
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return info, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return info, err
	}
	return sqlstore.Verify(file, ring)
}

// backupJSON is what the commands say of a backup.
type backupJSON struct {
	File   string         `json:"file"`
	Made   time.Time      `json:"made"`
	Schema int64          `json:"schema"`
	Org    string         `json:"org"`
	Keys   []string       `json:"master_keys"`
	Rows   map[string]int `json:"rows"`
	Sealed int            `json:"sealed_values_opened"`
}

func backupJSONOf(file string, info store.BackupInfo) backupJSON {
	b := backupJSON{File: file, Made: info.Made, Schema: info.Schema, Org: info.Org, Rows: info.Rows, Sealed: info.Sealed}
	for _, id := range info.Keys {
		b.Keys = append(b.Keys, id.String())
	}
	return b
}

func inWords(info store.BackupInfo) string {
	return fmt.Sprintf("made %s of %s, schema %d, %d users, %d applications, %d events; all %d sealed values open with master key %v",
		info.Made.Format(time.RFC3339), info.Org, info.Schema, info.Rows["users"], info.Rows["clients"], info.Rows["audit_events"], info.Sealed, info.Keys)
}
