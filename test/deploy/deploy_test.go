// Package deploy_test holds deploy/ and the Dockerfile to what Helm, Docker and systemd make of them.
//
// It is a module of its own, so that nothing of Helm or Docker is a dependency of Latchkey. Images are not built
// here, for that needs a registry: the Dockerfile is read by Docker's own parser and checker, and what its last
// stage copies is laid out in a directory in which the binary then has to run, as its user and with nothing else.
package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

const (
	root     = "../.."
	latchkey = "../../bin/latchkey"
	chartDir = "../../deploy/helm/latchkey"
)

// values are the least that the chart asks for, and a setting besides.
func values() chartutil.Values {
	return chartutil.Values{
		"origin":         "https://id.example",
		"existingSecret": "latchkey",
		"proxies":        []any{"10.0.0.0/8"},
		"config":         map[string]any{"countries": []any{1, 49}},
	}
}

// render is `helm template`: the objects by kind and name.
func render(t *testing.T, v chartutil.Values) map[string]runtime.Object {
	t.Helper()
	c := load(t)
	full, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "door", Namespace: "identity", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, full)
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apps.AddToScheme, core.AddToScheme, policy.AddToScheme, networking.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	objects := map[string]runtime.Object{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
			if strings.TrimSpace(document) == "" {
				continue
			}
			o, kind, err := strict.Decode([]byte(document), nil, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			objects[kind.Kind] = o
		}
	}
	return objects
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHelmLintsTheChart(t *testing.T) {
	said := lint.All(chartDir, values(), "identity", true)
	for _, m := range said.Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
	if said.ChartDir == "" {
		t.Error("nothing was looked at")
	}
}

func TestHelmTemplate(t *testing.T) {
	objects := render(t, values())
	for _, kind := range []string{"ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "Ingress", "NetworkPolicy"} {
		if objects[kind] == nil {
			t.Errorf("no %s", kind)
		}
	}
	d := objects["Deployment"].(*apps.Deployment)
	pod := d.Spec.Template.Spec
	if *d.Spec.Replicas != 3 || *pod.AutomountServiceAccountToken {
		t.Errorf("%d replicas, token %v", *d.Spec.Replicas, *pod.AutomountServiceAccountToken)
	}
	for what, selector := range map[string]map[string]string{
		"Deployment":          d.Spec.Selector.MatchLabels,
		"Service":             objects["Service"].(*core.Service).Spec.Selector,
		"PodDisruptionBudget": objects["PodDisruptionBudget"].(*policy.PodDisruptionBudget).Spec.Selector.MatchLabels,
		"NetworkPolicy":       objects["NetworkPolicy"].(*networking.NetworkPolicy).Spec.PodSelector.MatchLabels,
	} {
		for k, v := range selector {
			if d.Spec.Template.Labels[k] != v {
				t.Errorf("%s selects %s=%s, and pods have %v", what, k, v, d.Spec.Template.Labels)
			}
		}
		if len(selector) == 0 {
			t.Errorf("%s selects everything", what)
		}
	}

	t.Run("S-88 no root, no privileges, nothing to write on", func(t *testing.T) {
		if s := pod.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%+v", s)
		}
		for _, c := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
			s := c.SecurityContext
			if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
				t.Errorf("%s: %+v", c.Name, s)
			}
		}
	})
	t.Run("S-78 pods go when their requests are done", func(t *testing.T) {
		if g := *pod.TerminationGracePeriodSeconds; g < 2+20+5 {
			t.Errorf("%d s", g)
		}
		u := d.Spec.Strategy.RollingUpdate
		if u.MaxUnavailable.IntValue() != 0 {
			t.Errorf("an update takes %v away at once", u.MaxUnavailable)
		}
	})
	t.Run("S-46 probes ask by the name it answers to", func(t *testing.T) {
		c := pod.Containers[0]
		for path, p := range map[string]*core.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
			if p.HTTPGet.Path != path || p.HTTPGet.HTTPHeaders[0] != (core.HTTPHeader{Name: "Host", Value: "id.example"}) {
				t.Errorf("%s: %+v", path, p.HTTPGet)
			}
		}
	})
	t.Run("S-70 the key is the group's to read and nobody's to write", func(t *testing.T) {
		for _, v := range pod.Volumes {
			if v.Secret != nil && (*v.Secret.DefaultMode != 0o440 || v.Secret.SecretName != "latchkey") {
				t.Errorf("%+v", v.Secret)
			}
		}
	})
	t.Run("the binary takes the settings", func(t *testing.T) { wantGood(t, objects["ConfigMap"].(*core.ConfigMap).Data["latchkey.yaml"]) })
}

// wantGood has latchkey check the settings of a pod. Its files are put where they are here.
func wantGood(t *testing.T, settings string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"postgres-url": "postgres://l:p@db.example/latchkey?sslmode=verify-full", "master.key": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings = strings.ReplaceAll(settings, "/run/secrets/latchkey/", dir+"/")
	file := filepath.Join(dir, "latchkey.yaml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), latchkey, "config", "check", "--config", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, settings)
	}
}

func TestHelmLeavesOut(t *testing.T) {
	v := values()
	v["ingress"] = map[string]any{"enabled": false}
	v["networkPolicy"] = map[string]any{"enabled": false}
	objects := render(t, v)
	if objects["Ingress"] != nil || objects["NetworkPolicy"] != nil || objects["Deployment"] == nil {
		t.Errorf("%v", objects)
	}
	v["image"] = map[string]any{"repository": "r.example/latchkey", "digest": "sha256:abc"}
	d := render(t, v)["Deployment"].(*apps.Deployment)
	if image := d.Spec.Template.Spec.Containers[0].Image; image != "r.example/latchkey@sha256:abc" {
		t.Error(image)
	}
}

// TestS06_TheChartHasNoDefaults: it makes no secret, and starts with none.
func TestS06_TheChartHasNoDefaults(t *testing.T) {
	for name, change := range map[string]func(chartutil.Values){
		"no origin":            func(v chartutil.Values) { delete(v, "origin") },
		"http":                 func(v chartutil.Values) { v["origin"] = "http://id.example" },
		"no secret":            func(v chartutil.Values) { delete(v, "existingSecret") },
		"no proxies":           func(v chartutil.Values) { delete(v, "proxies") },
		"a key in the values":  func(v chartutil.Values) { v["config"] = map[string]any{"keys": map[string]any{}} },
		"another database":     func(v chartutil.Values) { v["config"] = map[string]any{"database": map[string]any{}} },
		"no pods":              func(v chartutil.Values) { v["replicas"] = 0 },
		"an address, no range": func(v chartutil.Values) { v["proxies"] = []any{"10.0.0.1"} },
	} {
		v := values()
		change(v)
		if _, err := chartutil.ToRenderValues(load(t), v, chartutil.ReleaseOptions{Name: "door"}, chartutil.DefaultCapabilities); err == nil {
			t.Errorf("%s: the chart takes it", name)
		}
	}
	if render(t, values())["Secret"] != nil {
		t.Error("the chart makes a secret")
	}
}

// lastStage reads the Dockerfile with Docker's parser and rules.
func lastStage(t *testing.T) (stages []instructions.Stage) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Error(w.Short)
	}
	rules := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
	stages, _, err = instructions.Parse(parsed.AST, rules)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

func TestS88_TheImage(t *testing.T) {
	stages := lastStage(t)
	last := stages[len(stages)-1]
	if last.BaseName != "scratch" {
		t.Errorf("it stands on %s, where there may be a shell", last.BaseName)
	}
	image := t.TempDir()
	if err := os.Chmod(image, 0o755); err != nil {
		t.Fatal(err)
	}
	var user, entry string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			for _, from := range c.SourcePaths {
				layOut(t, image, from, c.DestPath, len(c.SourcePaths) > 1)
			}
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = strings.Join(c.CmdLine, " ")
			if c.PrependShell {
				t.Error("the entry point asks for a shell")
			}
		case *instructions.HealthCheckCommand:
			if c.Health.Test[0] != "CMD" {
				t.Errorf("the health check %v asks for a shell", c.Health.Test)
			}
		case *instructions.RunCommand, *instructions.AddCommand:
			t.Errorf("%s in the image itself", c.Name())
		}
	}
	if user != "65532:65532" || entry != "/latchkey" {
		t.Fatalf("user %q, entry point %q", user, entry)
	}
	if os.Geteuid() != 0 {
		missing(t, "only root can enter the image's directory as another user")
	}
	// Whatever the binary needs to run has to be there.
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "/latchkey", args...)
		cmd.Dir, cmd.Env = "/", []string{"LATCHKEY_CONFIG=/etc/latchkey/latchkey.yaml"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: image, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("version"); err != nil || !strings.HasPrefix(out, "latchkey ") {
		t.Errorf("version: %v: %s", err, out)
	}
	if out, err := run("config", "print-default"); err != nil || !strings.Contains(out, "listen:") {
		t.Errorf("config print-default: %v: %s", err, out)
	}
	if out, err := run("serve"); err == nil || !strings.Contains(out, "/etc/latchkey/latchkey.yaml") {
		t.Errorf("without settings it says %v: %s", err, out)
	}
}

// missing skips a test for want of something: elsewhere it may be missing, in CI it must not.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// layOut puts a file where COPY puts it; what the build stage makes is taken from this machine.
func layOut(t *testing.T, image, from, to string, many bool) {
	t.Helper()
	if strings.HasSuffix(to, "/") || many {
		to = filepath.Join(to, filepath.Base(from))
	}
	source := map[string]string{
		"/etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt",
		"/src/LICENSE":                       filepath.Join(root, "LICENSE"),
		"/src/THIRD_PARTY_LICENSES":          filepath.Join(root, "THIRD_PARTY_LICENSES"),
		"/out/latchkey":                      latchkey,
		"/out/data":                          "",
	}
	here, known := source[from]
	if !known {
		t.Fatalf("nobody knows where %s comes from", from)
	}
	to = filepath.Join(image, to)
	if here == "" {
		if err := errors.Join(os.MkdirAll(to, 0o755), os.Chmod(to, 0o700), os.Chown(to, 65532, 65532)); err != nil && os.Geteuid() == 0 {
			t.Fatal(err)
		}
		return
	}
	content, err := os.ReadFile(here)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o755)); err != nil {
		t.Fatal(err)
	}
}

// TestS88_TheImageIsTheRelease: one toolchain, one set of flags, in the Dockerfile as in tools/release.
func TestS88_TheImageIsTheRelease(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	docker, release := read("Dockerfile"), read("tools/release/release.go")
	toolchain := regexp.MustCompile(`(?m)^toolchain go(\S+)$`).FindStringSubmatch(read("go.mod"))
	if toolchain == nil || !strings.Contains(docker, "golang:"+toolchain[1]+"-") {
		t.Errorf("go.mod fixes %v, and the Dockerfile another", toolchain)
	}
	for _, flag := range []string{"-trimpath", "-buildvcs=false", "-s -w -buildid= -X main.release=", "-X main.commit=", "CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0", "-mod=readonly"} {
		if !strings.Contains(docker, flag) || !strings.Contains(release, flag) {
			t.Errorf("only one of Dockerfile and tools/release has %q", flag)
		}
	}
	// What .dockerignore leaves out cannot be built of.
	ignored := read(".dockerignore")
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{if and .Module .Module.Main}}{{.Dir}}{{end}}`, "./cmd/latchkey")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range strings.Fields(string(out)) {
		first, _, _ := strings.Cut(strings.TrimPrefix(dir, top+"/"), "/")
		if !strings.Contains(ignored, "\n!"+first+"\n") {
			t.Errorf("%s does not reach the builder: .dockerignore", dir)
		}
	}
}

// TestTheUnit has systemd read its unit, and judge how much it leaves open.
func TestTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		missing(t, "systemd-analyze is missing (Debian: systemd)")
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/systemd/latchkey.service"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs(latchkey)
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "latchkey.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/local/bin/latchkey"), []byte(program)), 0o644); err != nil {
		t.Fatal(err)
	}
	judge := func(args ...string) string {
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), analyze, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	if said := judge("verify", "--man=no", unit); strings.Contains(said, "latchkey.service") {
		t.Error(said)
	}
	// Exposure from 0 to 10, times 10; it exits with 1 above the threshold.
	judge("security", "--offline=true", "--threshold=20", "--no-pager", unit)
}

// The tests above are worth nothing without the binary that they run.
func TestMain(m *testing.M) {
	if _, err := os.Stat(latchkey); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "deploy: there is no bin/latchkey: make build")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
