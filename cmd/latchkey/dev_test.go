package main_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is for a machine that is busy with other tests.
const patience = 30 * time.Second

var binary string

// TestMain builds the command once: what is tested here is the program that people run.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "latchkey")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "latchkey")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building latchkey: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A process is a running `latchkey dev`.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	args []string
	env  map[string]string
	http *http.Client

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// run starts latchkey dev in a directory and waits until it answers.
func run(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, args: args, http: &http.Client{Timeout: patience}}
	p.start()
	t.Cleanup(func() { p.end(os.Kill) })
	return p
}

func (p *process) start() {
	p.t.Helper()
	file := filepath.Join(p.dir, "env")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(binary, append([]string{"dev", "--data", filepath.Join(p.dir, "data"), "--env-file", file}, p.args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if p.env = readEnv(file); p.env == nil {
			continue
		}
		p.trust()
		response, err := p.http.Get(p.env["LATCHKEY_URL"] + "/healthz")
		if err == nil {
			response.Body.Close()
			return
		}
	}
	p.t.Fatalf("not ready within %s:\n%s", patience, p.output())
}

// trust makes the client trust the authority that --tls names.
func (p *process) trust() {
	file := p.env["CA_FILE"]
	if file == "" {
		return
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	p.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
}

// end sends a signal and returns how the process ended.
func (p *process) end(s os.Signal) error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	_ = p.cmd.Process.Signal(s)
	return p.cmd.Wait()
}

// again kills the process and starts it on the same data and port.
func (p *process) again() {
	p.t.Helper()
	_ = p.end(syscall.SIGKILL)
	p.http.CloseIdleConnections()
	u, err := url.Parse(p.env["LATCHKEY_URL"])
	if err != nil {
		p.t.Fatal(err)
	}
	p.args = append(without(p.args, "--addr"), "--addr", u.Host)
	p.start()
}

func without(args []string, flag string) []string {
	for i, a := range args {
		if a == flag {
			return append(append([]string{}, args[:i]...), args[i+2:]...)
		}
	}
	return args
}

// readEnv reads an env file, nil if it is not there yet.
func readEnv(name string) map[string]string {
	file, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	env := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			env[key] = value
		}
	}
	return env
}

func TestTheEnvFileIsAContract(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir, "--addr", "127.0.0.1:0")
	names := strings.Fields(`LATCHKEY_URL ISSUER CLIENT_ID WEB_CLIENT_ID WEB_CLIENT_SECRET REDIRECT_URI USERNAME PASSWORD
		USERNAME_ENROLLED PASSWORD_ENROLLED PHONE_ENROLLED CLIENT_ID_1FA USERNAME_1FA PASSWORD_1FA OUTBOX_URL SIGNIN_URL
		CLIENT_ID_OPTIONAL CLIENT_ID_IDFIRST CONTROL_URL`)
	for _, name := range names {
		if v := p.env[name]; v == "" || strings.ContainsAny(v, " \"'$`\\") {
			t.Errorf("%s=%q is missing, or means something to a shell", name, v)
		}
	}
	if len(p.env) != len(names) {
		t.Errorf("%d lines, want %d: %v", len(p.env), len(names), p.env)
	}
	if p.env["ISSUER"] != p.env["LATCHKEY_URL"]+"/oauth2/default" || p.env["SIGNIN_URL"] != p.env["LATCHKEY_URL"]+"/app/signin" ||
		p.env["OUTBOX_URL"] != p.env["LATCHKEY_URL"]+"/dev/outbox" || p.env["REDIRECT_URI"] != p.env["LATCHKEY_URL"]+"/app/callback" {
		t.Errorf("addresses are %v", p.env)
	}
	info, err := os.Stat(filepath.Join(dir, "env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("S-70: the env file holds passwords and is %v, %v", info.Mode(), err)
	}
	if always, _ := os.ReadFile(filepath.Join(dir, "data", "dev.env")); len(always) == 0 {
		t.Error("no env file in the data directory")
	}
	for _, want := range []string{p.env["LATCHKEY_URL"] + "/", p.env["SIGNIN_URL"], p.env["OUTBOX_URL"], p.env["USERNAME"], p.env["PASSWORD"],
		"sent again at once", "name is unknown", "every redirect", "this machine"} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("S-00: the start does not say %q:\n%s", want, p.output())
		}
	}

	kept := p.env
	p.again()
	for _, name := range names {
		if p.env[name] != kept[name] {
			t.Errorf("%s is another after a restart", name)
		}
	}
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Errorf("S-78: after SIGTERM it ended with %v", err)
	}
	p.args = append(p.args, "--reset")
	p.start()
	for _, name := range []string{"PASSWORD", "PASSWORD_ENROLLED", "PASSWORD_1FA", "WEB_CLIENT_SECRET", "CLIENT_ID"} {
		if p.env[name] == kept[name] {
			t.Errorf("S-06: %s survives --reset", name)
		}
	}
}

func TestStartIsRefused(t *testing.T) {
	tests := map[string]struct {
		args []string
		says string
	}{
		"S-00 all interfaces":      {[]string{"dev", "--addr", ":4480"}, "this machine alone"},
		"S-00 all IPv4 interfaces": {[]string{"dev", "--addr", "0.0.0.0:0"}, "this machine alone"},
		"S-00 all IPv6 interfaces": {[]string{"dev", "--addr", "[::]:0"}, "this machine alone"},
		"S-00 the network":         {[]string{"dev", "--addr", "192.168.0.10:4480"}, "this machine alone"},
		"no port":                  {[]string{"dev", "--addr", "127.0.0.1"}, "host:port"},
		"no such command":          {[]string{"fly"}, "unexpected argument"},
		"no such flag":             {[]string{"dev", "--public"}, "unknown flag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(binary, test.args...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.says) {
				t.Errorf("ended with %v and said %q", err, out)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("and left %v behind", left)
			}
		})
	}
}

func TestASecondOneTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir, "--addr", "127.0.0.1:0")
	for says, host := range map[string]string{
		"address already in use": strings.TrimPrefix(p.env["LATCHKEY_URL"], "http://"),
		"in use by another":      "127.0.0.1:0",
	} {
		out, err := exec.Command(binary, "dev", "--data", filepath.Join(dir, "data"), "--addr", host, "--reset").CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) {
			t.Errorf("ended with %v and said %s", err, out)
		}
	}
	if env := readEnv(filepath.Join(dir, "data", "dev.env")); env["PASSWORD"] != p.env["PASSWORD"] {
		t.Error("--reset pulled the data from under the one that runs")
	}
}

func TestProductionLimitsMakeRedirectsAndOriginsExact(t *testing.T) {
	p := run(t, t.TempDir(), "--addr", "127.0.0.1:0", "--production-limits")
	if strings.Contains(p.output(), "sent again at once") {
		t.Errorf("it says it is relaxed:\n%s", p.output())
	}
	f := p.begin()
	f.redirect = "http://localhost:3000/callback"
	if status := f.interact(); status != http.StatusBadRequest {
		t.Errorf("S-54: a redirect that is not registered is answered %d", status)
	}
	r, _ := http.NewRequest(http.MethodPost, p.env["LATCHKEY_URL"]+"/idp/idx/introspect", nil)
	r.Header.Set("Origin", "http://localhost:3000")
	response, err := p.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("S-42: allows %s", got)
	}
}

func TestTLS(t *testing.T) {
	p := run(t, t.TempDir(), "--addr", "127.0.0.1:0", "--tls")
	if !strings.HasPrefix(p.env["ISSUER"], "https://127.0.0.1:") || !strings.Contains(p.output(), "ca.pem") {
		t.Errorf("issuer %s, and it says\n%s", p.env["ISSUER"], p.output())
	}
	response, err := p.http.Get(p.env["ISSUER"] + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var d map[string]any
	if err := json.NewDecoder(response.Body).Decode(&d); err != nil || d["issuer"] != p.env["ISSUER"] {
		t.Errorf("S-66: the issuer is %v, %v", d["issuer"], err)
	}
	if response.ProtoMajor != 2 || response.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("%s with %v", response.Proto, response.Header)
	}
	// The sample application reaches the engine without a socket, and so without a certificate.
	if response, err = p.http.Get(p.env["SIGNIN_URL"]); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%s: %v, %v", p.env["SIGNIN_URL"], response, err)
	}
}

func TestS78_WhoWaitsForATextDoesNotHoldUpTheEnd(t *testing.T) {
	p := run(t, t.TempDir(), "--addr", "127.0.0.1:0")
	answered := make(chan error, 1)
	go func() {
		response, err := p.http.Get(p.env["OUTBOX_URL"] + "?wait=25s") // as the outbox page does
		if err == nil {
			response.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("answered at once: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	began := time.Now()
	if err := p.end(syscall.SIGTERM); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("it ended after %s with %v", time.Since(began), err)
	}
	if err := <-answered; err != nil {
		t.Errorf("who waited got no answer: %v", err)
	}
}

func TestVersion(t *testing.T) {
	out, err := exec.Command(binary, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "latchkey ") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestHelpListsWhatExists(t *testing.T) {
	out, err := exec.Command(binary, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dev [flags]", "serve", "config", "apply", "user", "key", "event", "backup", "restore", "migrate", "version"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	for _, promise := range []string{"admin", "tenant", "upgrade"} {
		if strings.Contains(string(out), "  "+promise) {
			t.Errorf("%s is listed, but there is none yet", promise)
		}
	}
}

func TestS75_KilledBetweenAnyTwoStepsTheFlowGoesOn(t *testing.T) {
	p := run(t, t.TempDir(), "--addr", "127.0.0.1:0")
	const number = "+12025550177"
	var f *flow
	var code, interactionCode string
	steps := []struct {
		name string
		do   func()
	}{
		{"interact", func() { f = p.begin(); f.interact() }},
		{"introspect", func() { f.idx("introspect", map[string]any{"interactionHandle": f.interaction}) }},
		{"identify", func() {
			f.idx("identify", map[string]any{"identifier": p.env["USERNAME"], "credentials": map[string]any{"passcode": p.env["PASSWORD"]}})
		}},
		{"choose the phone", func() { f.idx("credential/enroll", map[string]any{"authenticator": map[string]any{"id": f.phone()}}) }},
		{"give the number", func() {
			f.idx("credential/enroll", map[string]any{"authenticator": map[string]any{"id": f.phone(), "methodType": "sms", "phoneNumber": number}})
			code = p.code(number) // what is in the pocket stays there
		}},
		{"answer wrong", func() {
			wrong := "000000"
			if code == wrong {
				wrong = "000001"
			}
			if status := f.post("challenge/answer", map[string]any{"credentials": map[string]any{"passcode": wrong}}); status != http.StatusUnauthorized {
				t.Fatalf("a wrong code is answered %d", status)
			}
		}},
		{"send again", func() {
			f.idx("challenge/resend", map[string]any{})
			if again := p.code(number); again != code {
				t.Errorf("S-14: sent again, the code is %s and was %s", again, code)
			}
		}},
		{"answer", func() {
			f.idx("challenge/answer", map[string]any{"credentials": map[string]any{"passcode": code}})
			interactionCode = f.success()
		}},
		{"redeem", func() {
			var tokens struct {
				Access  string `json:"access_token"`
				Refresh string `json:"refresh_token"`
			}
			if status := f.token(url.Values{"grant_type": {"interaction_code"}, "interaction_code": {interactionCode}, "code_verifier": {verifier}}, &tokens); status != 200 {
				t.Fatalf("token: %d", status)
			}
			f.access, f.refresh = tokens.Access, tokens.Refresh
		}},
		{"userinfo", func() {
			r, _ := http.NewRequest(http.MethodGet, p.env["ISSUER"]+"/v1/userinfo", nil)
			r.Header.Set("Authorization", "Bearer "+f.access)
			var claims map[string]any
			if status := p.do(r, &claims); status != 200 || claims["email"] != p.env["USERNAME"] || claims["phone_number"] != number {
				t.Errorf("userinfo: %d %v", status, claims)
			}
		}},
		{"redeem again", func() {
			if status := f.token(url.Values{"grant_type": {"interaction_code"}, "interaction_code": {interactionCode}, "code_verifier": {verifier}}, nil); status != 400 {
				t.Errorf("S-75: a used code works again after a crash: %d", status)
			}
		}},
	}
	for _, step := range steps {
		t.Log(step.name)
		step.do()
		p.again()
	}
}

// verifier and its challenge are those of RFC 7636, appendix B.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

// A flow is one sign-in, call by call.
type flow struct {
	*process
	redirect, interaction, state string
	access, refresh              string
	last                         struct {
		StateHandle                string
		Authenticators             struct{ Value []struct{ ID, Key string } }
		SuccessWithInteractionCode struct {
			Value []struct {
				Name  string
				Value any
			}
		}
	}
}

func (p *process) begin() *flow { return &flow{process: p, redirect: p.env["REDIRECT_URI"]} }

func (f *flow) interact() int {
	f.t.Helper()
	challenge := sha256.Sum256([]byte(verifier))
	var began struct {
		Handle string `json:"interaction_handle"`
	}
	form := url.Values{
		"client_id": {f.env["CLIENT_ID"]}, "scope": {"openid profile email phone offline_access"}, "redirect_uri": {f.redirect}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	r, _ := http.NewRequest(http.MethodPost, f.env["ISSUER"]+"/v1/interact", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status := f.do(r, &began)
	f.interaction = began.Handle
	return status
}

func (f *flow) token(form url.Values, into any) int {
	f.t.Helper()
	form.Set("client_id", f.env["CLIENT_ID"])
	form.Set("redirect_uri", f.redirect)
	r, _ := http.NewRequest(http.MethodPost, f.env["ISSUER"]+"/v1/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.do(r, into)
}

// post posts one step.
func (f *flow) post(step string, body map[string]any) int {
	f.t.Helper()
	if f.state != "" {
		body["stateHandle"] = f.state
	}
	data, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	r, _ := http.NewRequest(http.MethodPost, f.env["LATCHKEY_URL"]+"/idp/idx/"+step, bytes.NewReader(data))
	r.Header.Set("Content-Type", "application/json")
	status := f.do(r, &f.last)
	if f.last.StateHandle != "" {
		f.state = f.last.StateHandle
	}
	return status
}

// idx posts one step that must work.
func (f *flow) idx(step string, body map[string]any) {
	f.t.Helper()
	if status := f.post(step, body); status != http.StatusOK {
		f.t.Fatalf("%s: %d", step, status)
	}
}

func (f *flow) phone() string {
	for _, a := range f.last.Authenticators.Value {
		if a.Key == "phone_number" {
			return a.ID
		}
	}
	f.t.Fatal("no phone is offered")
	return ""
}

func (f *flow) success() string {
	for _, v := range f.last.SuccessWithInteractionCode.Value {
		if s, ok := v.Value.(string); ok && v.Name == "interaction_code" {
			return s
		}
	}
	f.t.Fatal("no interaction code")
	return ""
}

func (p *process) do(r *http.Request, into any) int {
	p.t.Helper()
	response, err := p.http.Do(r)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.output())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			p.t.Fatalf("%s: %d %q: %v", r.URL.Path, response.StatusCode, body, err)
		}
	}
	return response.StatusCode
}

// code waits for a text to a number and returns the code in it.
func (p *process) code(number string) string {
	p.t.Helper()
	r, _ := http.NewRequest(http.MethodGet, p.env["OUTBOX_URL"]+"?wait=10s&to="+url.QueryEscape(number), nil)
	var texts []struct{ Body string }
	p.do(r, &texts)
	if len(texts) == 0 {
		p.t.Fatalf("no text to %s", number)
	}
	for _, word := range strings.Fields(texts[len(texts)-1].Body) {
		if len(word) == 6 && strings.Trim(word, "0123456789") == "" {
			return word
		}
	}
	p.t.Fatalf("no code in %q", texts[len(texts)-1].Body)
	return ""
}
