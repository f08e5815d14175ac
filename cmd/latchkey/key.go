package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keyring"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/store"
)

type keyCommand struct {
	New    keyNewCommand    `cmd:"" help:"Make a master key."`
	List   keyListCommand   `cmd:"" help:"Show master keys and signing keys, and what each is used for."`
	Rotate keyRotateCommand `cmd:"" help:"Make a new signing key, which signs from tomorrow on, or in an emergency at once."`
	Rekey  keyRekeyCommand  `cmd:"" help:"Seal the whole database with the newest master key, while servers run on it."`
}

type keyNewCommand struct {
	File string `arg:"" optional:"" help:"Write it there, readable for you alone; a file that exists is never touched. Without it the key is printed." placeholder:"FILE"`
}

// Run makes a key. Where it is printed nothing else is, so that it can be piped into a vault.
func (c keyNewCommand) Run(out io.Writer) error {
	if c.File == "" {
		text, _ := keyring.New()
		_, err := out.Write(text)
		return err
	}
	id, err := keyring.Write(c.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Master key %s is in %s. Keep a copy elsewhere: without it the database and its backups cannot be read.\n", id, c.File)
	return err
}

type keyListCommand struct {
	configured
	JSON bool `name:"json" help:"As JSON."`
}

// What key list says, as JSON.
type (
	masterKeyJSON struct {
		ID         string `json:"id"`
		Seals      bool   `json:"seals"`
		Values     int    `json:"values"`
		Configured bool   `json:"configured"`
	}
	signingKeyJSON struct {
		KID     string        `json:"kid"`
		Alg     string        `json:"alg"`
		State   keys.KeyState `json:"state"`
		Created time.Time     `json:"created"`
		From    time.Time     `json:"signs_from"`
		Until   *time.Time    `json:"signs_until,omitempty"`
	}
	serverJSON struct {
		ID    string    `json:"id"`
		Seen  time.Time `json:"seen"`
		Seals string    `json:"seals_with"`
	}
)

func (c keyListCommand) Run(ctx context.Context, out io.Writer) (err error) {
	_, _, db, err := c.open(ctx, prompt())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	masters, err := db.MasterKeys(ctx)
	if err != nil {
		return err
	}
	nodes, err := db.Nodes(ctx)
	if err != nil {
		return err
	}
	signing, err := signingKeys(ctx, db)
	if err != nil {
		return err
	}
	var all struct {
		Master  []masterKeyJSON  `json:"master_keys"`
		Signing []signingKeyJSON `json:"signing_keys"`
		Servers []serverJSON     `json:"servers"`
	}
	for _, k := range masters {
		all.Master = append(all.Master, masterKeyJSON{k.ID.String(), k.Seals, k.Values, k.Held})
	}
	for _, k := range signing {
		row := signingKeyJSON{KID: k.ID, Alg: k.Alg, State: k.State, Created: k.Created, From: k.From}
		if !k.Until.IsZero() {
			row.Until = &k.Until
		}
		all.Signing = append(all.Signing, row)
	}
	for _, n := range nodes {
		all.Servers = append(all.Servers, serverJSON{n.ID, n.Seen, n.Seals.String()})
	}
	if c.JSON {
		return printJSON(out, all)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MASTER KEY\tSEALS\tVALUES\tCONFIGURED")
	for _, k := range all.Master {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", k.ID, yes(k.Seals), k.Values, yes(k.Configured))
	}
	fmt.Fprintln(w, "\nSIGNING KEY\tALG\tSTATE\tSIGNS FROM\tUNTIL")
	for _, k := range all.Signing {
		until := "-"
		if k.Until != nil {
			until = k.Until.Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.KID, k.Alg, k.State, k.From.Format(time.DateTime), until)
	}
	if len(all.Servers) > 0 {
		fmt.Fprintln(w, "\nSERVER\tSEEN\tSEALS WITH")
		for _, n := range all.Servers {
			fmt.Fprintf(w, "%s\t%s\t%s\n", n.ID, n.Seen.Format(time.DateTime), n.Seals)
		}
	}
	return w.Flush()
}

// signingKeys tells of the keys that are there. Looking at a database in which no server has run makes none.
func signingKeys(ctx context.Context, db store.DB) ([]keys.KeyInfo, error) {
	var some []store.SigningKey
	err := db.View(ctx, func(tx store.Tx) (err error) {
		some, err = tx.SigningKeys(ctx)
		return err
	})
	if err != nil || len(some) == 0 {
		return nil, err
	}
	ring, err := keys.Open(ctx, db, time.Now)
	if err != nil {
		return nil, err
	}
	return ring.Keys(ctx)
}

type keyRotateCommand struct {
	configured
	Emergency bool   `help:"A private key got out: a new one signs at once, and all others are withdrawn with every token that they have signed."`
	Alg       string `enum:"RS256,ES256," default:"" help:"What the new key is for, ${enum}. Without it, what the present one is for." placeholder:"ALG"`
	JSON      bool   `name:"json" help:"As JSON."`
}

func (c keyRotateCommand) Run(ctx context.Context, out io.Writer) (err error) {
	_, _, db, err := c.open(ctx, prompt())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ring, err := keys.Open(ctx, db, time.Now)
	if err != nil {
		return err
	}
	by := atPrompt("")
	if c.Emergency {
		_, err = ring.Replace(ctx, c.Alg, by)
	} else {
		err = ring.RotateTo(ctx, c.Alg, by)
	}
	if err != nil {
		return err
	}
	all, err := ring.Keys(ctx)
	if err != nil {
		return err
	}
	next := slices.MaxFunc(slices.DeleteFunc(all, func(k keys.KeyInfo) bool { return k.State == keys.Withdrawn }),
		func(a, b keys.KeyInfo) int { return cmp.Or(a.From.Compare(b.From), a.Created.Compare(b.Created)) })
	if c.JSON {
		return printJSON(out, signingKeyJSON{KID: next.ID, Alg: next.Alg, State: next.State, Created: next.Created, From: next.From})
	}
	if c.Emergency {
		_, err = fmt.Fprintf(out, "Key %s (%s) signs now, and every other key is withdrawn. Servers that run follow within 30 s.\n"+
			"Access and ID tokens from before are refused here; who verifies them alone fetches the key set within the hour.\n", next.ID, next.Alg)
		return err
	}
	_, err = fmt.Fprintf(out, "Key %s (%s) is published, and signs from %s on.\n", next.ID, next.Alg, next.From.Format(time.RFC3339))
	return err
}

type keyRekeyCommand struct {
	configured
	JSON bool `name:"json" help:"As JSON."`
}

func (c keyRekeyCommand) Run(ctx context.Context, out io.Writer) (err error) {
	_, ring, db, err := c.open(ctx, prompt())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var said time.Time
	r, err := keyring.Rekey(ctx, db, ring, atPrompt(audit.MasterKeyChanged), func(done, of int) {
		if !c.JSON && time.Since(said) > time.Second {
			said = time.Now()
			fmt.Fprintf(os.Stderr, "%d of %d values\n", done, of)
		}
	})
	if err != nil {
		return err
	}
	var free []string
	for _, id := range ring.IDs()[1:] {
		free = append(free, id.String())
	}
	if c.JSON {
		return printJSON(out, struct {
			Seals  string   `json:"seals"`
			Values int      `json:"values"`
			Free   []string `json:"not_needed"`
		}{r.Seals.String(), r.Values, free})
	}
	fmt.Fprintf(out, "Everything is sealed with master key %s; %d values were not before.\n", r.Seals, r.Values)
	if len(free) > 0 {
		_, err = fmt.Fprintf(out, "The database needs %s no more: take it out of keys.master and restart the servers one by one.\n"+
			"Keep it for as long as you keep backups that were made before now.\n", strings.Join(free, ", "))
	}
	return err
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}
