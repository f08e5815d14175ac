//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A house is `latchkey dev`, running.
type house struct {
	*process
	addr  string
	env   map[string]string
	ready time.Duration // from its start to its first answer
}

// house starts one in a data directory, anew on the first call for a directory, again on later ones.
func (b *bench) house(name string) (*house, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := free.Addr().String()
	free.Close()
	h, err := b.houseAt(name, addr)
	if err != nil {
		return nil, err
	}
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// The codes are known beforehand: reading them is no part of a sign-in's cost.
	_, err = c.put("/dev/codes", pins)
	return h, err
}

const discovery = "/oauth2/default/.well-known/openid-configuration"

// populated is house with n people added, and the CPU that adding them took us.
func (b *bench) populated(name string, n int) (h *house, seeding time.Duration, err error) {
	if h, err = b.house(name); err != nil { // once, for the organisation
		return nil, 0, err
	}
	if err = h.stop(); err != nil {
		return nil, 0, err
	}
	before := cpuOf(syscall.RUSAGE_SELF)
	if err = seed(filepath.Join(b.dir, name), h.paul().login, n); err != nil {
		return nil, 0, err
	}
	seeding = cpuOf(syscall.RUSAGE_SELF) - before
	h, err = b.house(name)
	return h, seeding, err
}

func (b *bench) houseAt(name, addr string) (*house, error) {
	data := filepath.Join(b.dir, name)
	began := time.Now()
	p, err := launch(b.latchkey, "dev", "--addr", addr, "--data", data, "--requests", "1000000")
	if err != nil {
		return nil, err
	}
	h := &house{process: p, addr: addr}
	for {
		c, err := dial(addr)
		if err == nil {
			_, err = c.get(discovery, "")
			c.Close()
			h.ready = time.Since(began)
			if err != nil {
				return nil, errors.Join(err, h.stop())
			}
			break
		}
		if h.ready = time.Since(began); h.ready > 10*time.Second {
			return nil, errors.Join(errors.New("latchkey dev does not answer"), h.stop())
		}
		time.Sleep(time.Millisecond)
	}
	h.env, err = readEnv(filepath.Join(data, "dev.env"))
	return h, err
}

func readEnv(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	env := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		env[name] = value
	}
	return env, lines.Err()
}

// A person is somebody who can sign in with password and phone.
type person struct{ login, password string }

// paul is the one whom dev seeds.
func (h *house) paul() person {
	return person{h.env["USERNAME_ENROLLED"], h.env["PASSWORD_ENROLLED"]}
}

// seeded is the i-th of those who were added.
func (h *house) seeded(i int) person { return person{loginOf(i), h.paul().password} }

// A visitor is a browser and the application behind it, at one house.
type visitor struct {
	*connection
	h      *house
	client string
	scope  string
}

func (h *house) visitor() (*visitor, error) {
	c, err := dial(h.addr)
	return &visitor{c, h, h.env["CLIENT_ID"], "openid profile email phone"}, err
}

// The code that is pinned, and a pair of PKCE (RFC 7636 appendix B).
const (
	code      = "424242"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	pins      = `{"pattern":"*","code":"` + code + `"}`
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// begin is the application's first request; it returns the interaction handle.
func (v *visitor) begin() (string, error) {
	return v.find(`"interaction_handle":"`)(v.post("/oauth2/default/v1/interact", form, url.Values{
		"client_id": {v.client}, "redirect_uri": {v.h.env["REDIRECT_URI"]}, "scope": {v.scope},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "state": {"s-7f3a90c1"}, "nonce": {"n-5d2b1e88"},
	}.Encode()))
}

// open begins and asks for the first page; it returns the state handle.
func (v *visitor) open() (string, error) {
	interaction, err := v.begin()
	if err != nil {
		return "", err
	}
	return v.look(interaction)
}

// look asks for the first page.
func (v *visitor) look(interaction string) (string, error) {
	return v.find(`"stateHandle":"`)(v.post("/idp/idx/introspect", json, fmt.Sprintf(`{"interactionHandle":%q}`, interaction)))
}

// An enrolled is what a page says of the enrolled phone.
type enrolled struct{ authenticator, enrollment string }

func (v *visitor) identify(handle string, p person) (enrolled, error) {
	page, err := v.post("/idp/idx/identify", json,
		fmt.Sprintf(`{"identifier":%q,"credentials":{"passcode":%q},"stateHandle":%q}`, p.login, p.password, handle))
	a, err := v.find(`"name":"id","required":true,"value":"`)(page, err)
	e, err := v.find(`"name":"enrollmentId","required":true,"value":"`)(page, err)
	return enrolled{a, e}, err
}

// name is identify where the password has a page of its own.
func (v *visitor) name(handle string, p person) error {
	_, err := v.post("/idp/idx/identify", json, fmt.Sprintf(`{"identifier":%q,"stateHandle":%q}`, p.login, handle))
	return err
}

func (v *visitor) challenge(handle string, p enrolled) error {
	_, err := v.post("/idp/idx/challenge", json,
		fmt.Sprintf(`{"authenticator":{"id":%q,"enrollmentId":%q,"methodType":"sms"},"stateHandle":%q}`, p.authenticator, p.enrollment, handle))
	return err
}

// prove answers with the code; it returns the interaction code.
func (v *visitor) prove(handle string) (string, error) {
	return v.find(`"name":"interaction_code","required":true,"value":"`)(v.post("/idp/idx/challenge/answer", json,
		fmt.Sprintf(`{"credentials":{"passcode":%q},"stateHandle":%q}`, code, handle)))
}

// buy returns what the token endpoint answers.
func (v *visitor) buy(interaction string) ([]byte, error) {
	return v.post("/oauth2/default/v1/token", form, url.Values{
		"grant_type": {"interaction_code"}, "interaction_code": {interaction}, "client_id": {v.client}, "code_verifier": {verifier},
	}.Encode())
}

// redeem returns the access token.
func (v *visitor) redeem(interaction string) (string, error) {
	return v.find(`"access_token":"`)(v.buy(interaction))
}

// profile asks who signed in.
func (v *visitor) profile(token string) error {
	_, err := v.find(`"sub":"`)(v.get("/oauth2/default/v1/userinfo", token))
	return err
}

// proven goes through a sign-in up to the interaction code.
func (v *visitor) proven(p person) (string, error) {
	handle, err := v.open()
	if err != nil {
		return "", err
	}
	phone, err := v.identify(handle, p)
	if err != nil {
		return "", err
	}
	if err := v.challenge(handle, phone); err != nil {
		return "", err
	}
	return v.prove(handle)
}

// signIn is all of it: seven requests. It returns the access token.
func (v *visitor) signIn(p person) (string, error) {
	interaction, err := v.proven(p)
	if err != nil {
		return "", err
	}
	token, err := v.redeem(interaction)
	if err != nil {
		return "", err
	}
	return token, v.profile(token)
}

// find returns the string that follows a prefix in an answer. Decoding it would cost what belongs to the server.
func (v *visitor) find(prefix string) func([]byte, error) (string, error) {
	return func(page []byte, err error) (string, error) {
		if err != nil {
			return "", err
		}
		_, rest, found := strings.Cut(string(page), prefix)
		value, _, whole := strings.Cut(rest, `"`)
		if !found || !whole {
			return "", fmt.Errorf("no %s… in %.300s", prefix, page)
		}
		return value, nil
	}
}
