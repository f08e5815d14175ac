package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
)

// A site is a directory with a latchkey.yaml in it, and commands run there.
type site struct {
	t      *testing.T
	dir    string
	public string
	admin  string
}

const adminToken = "marker-admin-token-0123456789abcdef"

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), public: freePort(t), admin: freePort(t)}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.must("key", "new", "master.key")
	s.write("token", adminToken)
	s.write("latchkey.yaml", fmt.Sprintf(`listen: %[1]s
origin: http://%[1]s
data: data
keys: {master: [{file: %[2]s/master.key}]}
countries: []
linger: 0s
log: {level: debug}
admin: {listen: "%[3]s", token: {file: %[2]s/token}}
`, s.public, s.dir, s.admin))
	if err := os.Mkdir(filepath.Join(s.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) run(args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *site) must(args ...string) string {
	s.t.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.t.Fatalf("latchkey %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// serve starts the server and returns what ends it and says what it wrote.
func (s *site) serve() (stop func() string) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	read := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(text)
	}
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if r, err := http.Get("http://" + s.public + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(until) {
			s.t.Fatalf("not ready within %s:\n%s", patience, read())
		}
	}
	return func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("S-78: it ended with %v", err)
		}
		log.Close()
		return read()
	}
}

// ask asks the admin listener.
func (s *site) ask(path string) string {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s %v", path, response.StatusCode, body, err)
	}
	return string(body)
}

func TestS72_S74_WhatServeShowsHoldsNothingThatWasSent(t *testing.T) {
	s := newSite(t)
	stop := s.serve()
	const marker = "hunter2-marker"
	for _, path := range []string{"/idp/idx/identify", "/idp/idx/" + marker, "/oauth2/default/v1/token", "/oauth2/" + marker + "/v1/token", "/oauth2/default/v1/authorize"} {
		r, err := http.NewRequest(http.MethodPost, "http://"+s.public+path+"?code="+marker, strings.NewReader(
			`{"stateHandle":"`+marker+`","identifier":"`+marker+`","credentials":{"passcode":"`+marker+`"}}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+marker)
		r.Header.Set("Cookie", "sid="+marker)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	metrics := s.ask("/metrics")
	if !strings.Contains(metrics, `route="/idp/idx/identify"`) || !strings.Contains(metrics, `latchkey_ready 1`) {
		t.Errorf("the metrics lack what happened:\n%s", metrics)
	}
	if strings.Contains(metrics, marker) {
		t.Error("S-74: what a stranger sent is a label")
	}
	log := stop()
	lines := 0
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "Latchkey serves") {
			continue
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Errorf("not a line of JSON: %s", line)
		}
		// The path is the only thing of a request that is logged, and two of them held the marker.
		if path, _ := v["path"].(string); path != "" {
			lines++
			line = strings.ReplaceAll(line, path, "")
		}
		if strings.Contains(line, marker) || strings.Contains(line, adminToken) {
			t.Errorf("S-72: the log says %s", line)
		}
	}
	if lines < 5 {
		t.Errorf("%d requests in the log:\n%s", lines, log)
	}
}

func TestS73_TheLogIsFoundExportedAndProved(t *testing.T) {
	s := newSite(t)
	s.serve()()
	if out := s.must("event", "list", "--type", "key.", "--since", "1h"); !strings.Contains(out, "key.created") || strings.Count(out, "\n") != 1 {
		t.Errorf("list says\n%s", out)
	}
	var e map[string]any
	if err := json.Unmarshal([]byte(s.must("event", "list", "--json", "-n", "1", "--type", "key.created")), &e); err != nil || e["type"] != "key.created" || e["prev"] != nil {
		t.Errorf("%v, %v", e, err)
	}
	s.must("event", "export", "log.jsonl")
	one, err := os.ReadFile(filepath.Join(s.dir, "log.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	s.must("event", "export", "log.jsonl") // the first export is an event
	two, _ := os.ReadFile(filepath.Join(s.dir, "log.jsonl"))
	if !strings.HasPrefix(string(two), string(one)) || !strings.Contains(string(two[len(one):]), string(audit.LogExported)) {
		t.Errorf("an export that goes on:\n%s", two)
	}
	for _, args := range [][]string{{"event", "verify", "log.jsonl"}, {"event", "verify", "log.jsonl", "--without-key"}, {"event", "verify"}} {
		if out := s.must(args...); !strings.Contains(out, "none changed") {
			t.Errorf("%v says %s", args, out)
		}
	}
	s.write("log.jsonl", string(two)+`{"seq":9`) // an export that was killed
	if _, err := s.run("event", "verify", "log.jsonl"); err == nil {
		t.Error("half a line is proved")
	}
	s.must("event", "export", "log.jsonl")
	s.must("event", "verify", "log.jsonl")
	forged := strings.Replace(string(two), "key.created", "key.retired", 1)
	s.write("log.jsonl", forged)
	for _, args := range [][]string{{"event", "verify", "log.jsonl"}, {"event", "export", "log.jsonl"}} {
		if out, err := s.run(args...); err == nil || !strings.Contains(out, "broken") {
			t.Errorf("%v of a file that was changed: %v %s", args, err, out)
		}
	}
	if left, _ := os.ReadFile(filepath.Join(s.dir, "log.jsonl")); string(left) != forged {
		t.Error("an export was appended to a file that was changed")
	}
	for _, bad := range [][]string{{"event", "list", "--since", "yesterday"}, {"event", "export", "--after", "999"}, {"event", "verify", "nothing.jsonl"}} {
		if out, err := s.run(bad...); err == nil || strings.Count(out, "\n") != 1 {
			t.Errorf("%v: %v %s", bad, err, out)
		}
	}
}

func TestEventTailFollows(t *testing.T) {
	s := newSite(t)
	s.serve()()
	cmd := exec.Command(binary, "event", "tail", "--json", "-n", "0", "--type", "audit.")
	cmd.Dir = s.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan map[string]any, 1)
	go func() {
		var e map[string]any
		_ = json.NewDecoder(out).Decode(&e)
		first <- e
	}()
	var got map[string]any
	for until := time.Now().Add(patience); got == nil && time.Now().Before(until); { // until it has begun to follow
		s.must("event", "export")
		select {
		case got = <-first:
		case <-time.After(100 * time.Millisecond):
		}
	}
	if got["type"] != string(audit.LogExported) {
		t.Errorf("it followed with %v", got)
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
}
