// Command latchkey is the server, and the tools around it.
//
//	latchkey dev       everything in one process, with an organisation to try it on; nothing leaves the machine
//	latchkey version   which latchkey this is
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Dev     devCommand     `cmd:"" help:"Run everything in one process, with an organisation to try it on. Nothing leaves the machine."`
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

type versionCommand struct{}

// Run says what the toolchain stamped into the binary.
func (versionCommand) Run(out io.Writer) error {
	version, revision := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(out, "latchkey %s%s\n", version, revision)
	return err
}
