// Command latchkey is the server, and the tools around it.
//
//	latchkey dev       everything in one process, with an organisation to try it on; nothing leaves the machine
//	latchkey serve     the server, as latchkey.yaml says
//	latchkey config    check latchkey.yaml, print one, print its schema
//	latchkey key       master keys and signing keys
//	latchkey backup    copy the database while servers run on it
//	latchkey restore   prove a backup, or put it back
//	latchkey migrate   bring the schema up to date
//	latchkey message   tries the gateways by hand
//	latchkey spend     prints what text messages cost
//	latchkey event     the audit log: find, follow, export, prove
//	latchkey version   which latchkey this is
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Dev     devCommand     `cmd:"" help:"Run everything in one process, with an organisation to try it on. Nothing leaves the machine."`
	Serve   serveCommand   `cmd:"" help:"Serve real people, as latchkey.yaml says."`
	Config  configCommand  `cmd:"" help:"Check latchkey.yaml, or print what can be in it."`
	Key     keyCommand     `cmd:"" help:"Master keys, which seal the database, and signing keys."`
	Backup  backupCommand  `cmd:"" help:"Copy the database into a file, while servers run on it."`
	Restore restoreCommand `cmd:"" help:"Prove a backup, or put it into a database of either kind."`
	Migrate migrateCommand `cmd:"" help:"Bring the database's schema up to date."`
	Message messageCommand `cmd:"" help:"Try the gateways by hand."`
	Spend   spendCommand   `cmd:"" help:"Print what text messages cost, by day, country and gateway."`
	Apply   applyCommand   `cmd:"" help:"Make the organisation what a file says, and print the difference."`
	User    userCommand    `cmd:"" help:"Users, one at a time."`
	Group   groupCommand   `cmd:"" help:"Groups, one at a time."`
	App     appCommand     `cmd:"" help:"Applications, one at a time."`
	Import  importCommand  `cmd:"" help:"Take users in from a file."`
	Export  exportCommand  `cmd:"" help:"Write the organisation, or its users, into a file."`
	Health  healthCommand  `cmd:"" help:"Ask a server whether it is well."`
	Event   eventCommand   `cmd:"" help:"The audit log: find, follow, export and prove what happened."`
	Version versionCommand `cmd:"" help:"Say which latchkey this is."`
}

func main() {
	defer fitRuntime()()
	// The first signal asks; a second one no longer needs to.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	parsed := kong.Parse(&commands{},
		kong.Name("latchkey"),
		kong.Description("Sign-in for your own pages, on a server of your own."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(io.Writer(os.Stdout), (*io.Writer)(nil)),
	)
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "latchkey:", err)
		os.Exit(1)
	}
}
