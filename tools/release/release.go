package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Platform is what Go calls GOOS and GOARCH.
type Platform struct{ OS, Arch string }

// Platforms are those that a release has binaries for.
var Platforms = []Platform{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

// ParsePlatform reads linux/amd64 and the like.
func ParsePlatform(s string) (Platform, error) {
	for _, p := range Platforms {
		if s == p.String() {
			return p, nil
		}
	}
	return Platform{}, fmt.Errorf("there are no releases for %q", s)
}

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// program is the name of the binary there.
func (p Platform) program() string {
	if p.OS == "windows" {
		return "latchkey.exe"
	}
	return "latchkey"
}

// A Release is a state of the source, and what it is called.
type Release struct {
	Source  string // the root of the module
	Version string // v1.2.3
	Commit  string
	Time    time.Time // of the commit: the only time that anything of a release carries
}

var semantic = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

// Describe asks git what source is. Without a version it is the tag of the commit, or v0.0.0 and the commit.
// What is not committed has no name, and is v0.0.0 with the word dirty; nobody can ask for a version of it.
func Describe(source, version string) (Release, error) {
	git := func(args ...string) (string, error) {
		out, err := command(source, nil, "git", args...)
		return strings.TrimSpace(out), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return Release{}, err
	}
	seconds, err := git("log", "-1", "--format=%ct")
	if err != nil {
		return Release{}, err
	}
	unix, err := strconv.ParseInt(cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), seconds), 10, 64)
	if err != nil {
		return Release{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	changed, err := git("status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return Release{}, err
	}
	tag, _ := git("describe", "--tags", "--exact-match", "--match", "v*") // most commits have none
	switch {
	case version == "" && changed == "":
		version = cmp.Or(tag, "v0.0.0-"+commit[:12])
	case version == "":
		version = "v0.0.0-" + commit[:12] + ".dirty"
	case changed != "":
		return Release{}, fmt.Errorf("%s would not be what is committed:\n%s", version, changed)
	}
	if !semantic.MatchString(version) {
		return Release{}, fmt.Errorf("%q is not like v1.2.3 or v1.2.3-rc.1", version)
	}
	return Release{Source: source, Version: version, Commit: commit, Time: time.Unix(unix, 0).UTC()}, nil
}

// Build makes the whole release in out: an archive and a bill of materials for each platform, and SHA256SUMS.
func (r Release) Build(out string, platforms []Platform) error {
	if err := fixedToolchain(r.Source); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if old, err := os.ReadDir(out); err != nil || len(old) > 0 {
		return errors.Join(err, fmt.Errorf("%s is not empty: a release is made from nothing", out))
	}
	work, err := os.MkdirTemp("", "latchkey-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var sums []string
	for _, p := range platforms {
		fmt.Fprintf(os.Stderr, "release: %s for %s\n", r.Version, p)
		binary := filepath.Join(work, p.OS+"-"+p.Arch, p.program())
		if err := r.Binary(p, binary); err != nil {
			return err
		}
		bom, err := r.BOM(binary)
		if err != nil {
			return err
		}
		archive, err := r.archive(p, binary, bom)
		if err != nil {
			return err
		}
		name := strings.Join([]string{"latchkey", r.Version, p.OS, p.Arch}, "_")
		for file, content := range map[string][]byte{name + extension(p): archive, name + ".cdx.json": bom} {
			if err := os.WriteFile(filepath.Join(out, file), content, 0o644); err != nil {
				return err
			}
			sums = append(sums, fmt.Sprintf("%x  %s\n", sha256.Sum256(content), file))
		}
	}
	slices.SortFunc(sums, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(strings.Join(sums, "")), 0o644)
}

// Binary builds latchkey for p. Nothing of this machine is in it: no path, no time, no state of its git.
func (r Release) Binary(p Platform, file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	stamp := fmt.Sprintf("-s -w -buildid= -X main.release=%s -X main.commit=%s", r.Version, r.Commit)
	_, err = command(r.Source, p.env(),
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags="+stamp, "-o", file, "./cmd/latchkey")
	return err
}

// env builds without cgo and for the oldest processors of each kind, whatever the builder prefers.
func (p Platform) env() []string {
	return []string{"CGO_ENABLED=0", "GOOS=" + p.OS, "GOARCH=" + p.Arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT="}
}

var toolchain = regexp.MustCompile(`(?m)^toolchain (go\S+)$`)

// fixedToolchain holds the compiler to go.mod's: another one makes other bytes.
func fixedToolchain(source string) error {
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return err
	}
	fixed := toolchain.FindSubmatch(mod)
	if fixed == nil {
		return errors.New("go.mod fixes no toolchain")
	}
	have, err := command(source, nil, "go", "env", "GOVERSION")
	if err != nil {
		return err
	}
	if have = strings.TrimSpace(have); have != string(fixed[1]) {
		return fmt.Errorf("this is %s, and go.mod fixes %s: set GOTOOLCHAIN=%s", have, fixed[1], fixed[1])
	}
	return nil
}

// command runs a program in dir and returns what it printed.
func command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, exit.Stderr)
	}
	return string(out), err
}

// here is the platform of this process.
func here() Platform { return Platform{runtime.GOOS, runtime.GOARCH} }
