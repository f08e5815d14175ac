// Command release makes what a release of Latchkey consists of, the same bytes on every machine.
//
//	release build VERSION        static binaries for every platform, their archives, bills of materials, checksums
//	release sbom BINARY          the bill of materials of one binary, CycloneDX JSON
//	release third-party [-write] THIRD_PARTY_LICENSES: everybody whose code is in a binary, and on which terms
//
// It takes everything from the source tree it is started in and from the module cache, and knows no network.
// Start at [Release.Build].
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say build VERSION, sbom BINARY or third-party")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	out := flags.String("out", "dist", "where a release goes")
	only := flags.String("only", "", "build for this platform alone, like linux/amd64")
	write := flags.Bool("write", false, "write "+thirdPartyFile+" instead of comparing it")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "build":
		r, err := Describe(".", flags.Arg(0))
		if err != nil {
			return err
		}
		platforms := Platforms
		if *only != "" {
			p, err := ParsePlatform(*only)
			if err != nil {
				return err
			}
			platforms = []Platform{p}
		}
		return r.Build(*out, platforms)
	case "sbom":
		r, err := Describe(".", "")
		if err != nil {
			return err
		}
		bom, err := r.BOM(flags.Arg(0))
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(bom)
		return err
	case "third-party":
		return thirdParty(*write)
	}
	return fmt.Errorf("there is no %q: build, sbom or third-party", args[0])
}

// thirdParty writes the file of licences, or says that it is not what it should be.
func thirdParty(write bool) error {
	want, err := ThirdParty(".")
	if err != nil {
		return err
	}
	file := filepath.Join(".", thirdPartyFile)
	if write {
		return os.WriteFile(file, want, 0o644)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not what the dependencies say: run make third-party", thirdPartyFile)
	}
	return nil
}
