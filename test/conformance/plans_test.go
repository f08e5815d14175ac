// Package conformance_test says again, as tests of ours, what the OpenID Foundation's conformance suite asks of a
// provider: a test for each module of its plans, under the module's own name. It sees the server as the suite does, from
// outside: over HTTP, with a browser's cookies, filling the forms that the hosted pages show.
//
// It is no run of the Foundation's suite, and passing it certifies nothing. docs/conformance.md is written from the plans
// below (go test ./test/conformance -run TestThePage -update), and TestConformance runs every module that the page calls
// passed, so the page cannot say more than is so.
package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A plan is one of the suite's.
type plan struct {
	name    string
	title   string
	about   string
	like    rp // what its relying party is like, unless a module wants another
	modules []module
}

// A module is one of a plan. Exactly one of run and na is set.
type module struct {
	name string
	run  func(*rp)
	na   string // why it does not apply
	note string // what the page adds to a pass
	// warns is what the suite would complain of without failing the module: run wants it to be so.
	warns string
}

func plans() []plan {
	return []plan{
		{
			"oidcc-config-certification-test-plan", "Config OP", "",
			rp{}, []module{{name: "oidcc-discovery-endpoint-verification", run: discovery, note: "over http on the loopback; the suite wants https, which `latchkey serve` has"}},
		},
		{
			"oidcc-basic-certification-test-plan", "Basic OP", "",
			rp{}, basic(),
		},
		{
			"oidcc-formpost-basic-certification-test-plan", "Form Post OP", "The modules of Basic OP, with `response_mode=form_post` in every request.",
			rp{mode: "form_post"}, basic(),
		},
		{
			"oidcc-rp-initiated-logout-certification-test-plan", "RP-initiated logout", "",
			rp{}, rpInitiated(),
		},
		{
			"oidcc-frontchannel-rp-initiated-logout-certification-test-plan", "Front-channel logout", "",
			rp{}, frontChannel(),
		},
		{
			"oidcc-backchannel-rp-initiated-logout-certification-test-plan", "Back-channel logout", "",
			rp{}, backChannel(),
		},
		{
			"fapi2-security-profile-final-test-plan", "FAPI 2.0 Security Profile: PAR and DPoP",
			"With `fapi_profile=plain_fapi`, `client_auth_type=private_key_jwt`, `sender_constrain=dpop`, `openid=openid_connect`, no authorization details and no grant management. Listed are the modules that apply then, but for those about client assertions, which are neither listed nor claimed. The time a code is good for is Latchkey's, 60 seconds.",
			rp{}, fapi2(),
		},
	}
}

func TestConformance(t *testing.T) {
	for _, p := range plans() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			for _, m := range p.modules {
				if m.run == nil {
					continue
				}
				t.Run(m.name, func(t *testing.T) {
					r := p.like
					r.start(t)
					m.run(&r)
				})
			}
		})
	}
}

var update = flag.Bool("update", false, "write docs/conformance.md")

const page = "../../docs/conformance.md"

func TestThePageSaysWhatTheTestsDo(t *testing.T) {
	want := write(plans())
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/conformance.md says something else than the plans: go test ./test/conformance -run TestThePage -update")
	}
}

func TestEveryModuleIsSaidOnceAndOneWay(t *testing.T) {
	for _, p := range plans() {
		seen := map[string]bool{}
		for _, m := range p.modules {
			if seen[m.name] {
				t.Errorf("%s: %s is there twice", p.name, m.name)
			}
			seen[m.name] = true
			if (m.run == nil) == (m.na == "") {
				t.Errorf("%s: %s is to be run, or does not apply", p.name, m.name)
			}
		}
	}
}

const preamble = `# Conformance

What the conformance suite of the OpenID Foundation asks of a provider, module by module, said again as Go tests in
[test/conformance](../test/conformance). This page is written from their table by ` + "`go test ./test/conformance -run TestThePage -update`" + `,
and fails its test when it differs. A module that passes is one whose test passes; it runs with ` + "`go test ./...`" + `. A warning is
what the suite puts up with: there the test holds what is so.

**This is no certification, and no run of the Foundation's suite.** The modules are known to us by name and purpose, and a
test checks what we understand the module to check. Some differences are certain:

- The suite talks https to a public address; the tests talk http to the loopback.
- **Every request here carries a PKCE challenge.** Latchkey refuses an authorization request without one, of every client
  (see [departures](departures.md)). The suite's Basic and Form Post plans send none, except in
  ` + "`oidcc-ensure-request-with-valid-pkce-succeeds`" + `: run as they are, they would stop at ` + "`invalid_request`" + `.
- Where the suite asks a person for a screenshot, the test looks at the page instead: that there is one, and that the browser
  went nowhere else.

`

// write writes the page.
func write(all []plan) string {
	var b strings.Builder
	b.WriteString(preamble)
	b.WriteString("| plan | pass | warning | not applicable |\n|---|---:|---:|---:|\n")
	for _, p := range all {
		var pass, warning, na int
		for _, m := range p.modules {
			switch {
			case m.run == nil:
				na++
			case m.warns != "":
				warning++
			default:
				pass++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", p.title, pass, warning, na)
	}
	for _, p := range all {
		fmt.Fprintf(&b, "\n## %s\n\n`%s`. %s\n\n| module | | |\n|---|---|---|\n", p.title, p.name, p.about)
		for _, m := range p.modules {
			status, why := "pass", m.note
			switch {
			case m.run == nil:
				status, why = "not applicable", m.na
			case m.warns != "":
				status, why = "warning", m.warns
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, status, why)
		}
	}
	return strings.ReplaceAll(b.String(), ". \n", ".\n")
}
