package examples_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey.dev/idx"
)

// TestSpring runs a Spring Boot application with Okta's starter, whose configuration is all that makes it Latchkey's: it
// sends people to our pages, takes the code with PKCE and a secret, and as an API judges access tokens.
func TestSpring(t *testing.T) {
	if testing.Short() {
		t.Skip("Maven takes its time")
	}
	mvn := tool(t, "mvn")
	java, keytool := tool(t, "java"), tool(t, "keytool")
	env := devTLS(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("spring")); err != nil {
		t.Fatal(err)
	}
	s := &spring{t: t, env: env, dir: dir, java: java, trust: trusting(t, keytool, env["CA_FILE"]), classpath: compiled(t, mvn, dir)}

	t.Run("signs somebody in", func(t *testing.T) {
		at := s.start(t, "application", "CLIENT_ID="+env["WEB_CLIENT_ID"], "CLIENT_SECRET="+env["WEB_CLIENT_SECRET"])
		p := newPerson(t, env)
		p.open(at + "/")
		if !strings.HasPrefix(p.at.String(), env["LATCHKEY_URL"]+"/") {
			t.Fatalf("it sends people to %s", p.at)
		}
		p.signIn(env["USERNAME_ENROLLED"], env["PASSWORD_ENROLLED"], env["PHONE_ENROLLED"])
		if p.at.String() != at+"/" && !strings.HasPrefix(p.at.String(), at+"/?") || p.page != "Hello, Paul Poole." {
			t.Errorf("%s shows %q", p.at, p.page)
		}
		for _, sent := range p.authorizations {
			if sent.Get("code_challenge_method") != "S256" || sent.Get("code_challenge") == "" {
				t.Errorf("no PKCE: %v", sent)
			}
		}
		if len(p.authorizations) != 1 {
			t.Errorf("%d authorization requests", len(p.authorizations))
		}
	})

	t.Run("judges tokens", func(t *testing.T) {
		at := s.start(t, "api")
		token := tokenOf(t, env)
		if status, said := asked(t, at+"/api", token); status != http.StatusOK || said != env["USERNAME_1FA"]+" may [openid, email]" {
			t.Errorf("%d %q", status, said)
		}
		if status, said := asked(t, at+"/api", token[:len(token)-8]+"AAAAAAAA"); status != http.StatusUnauthorized {
			t.Errorf("of a forged token it says %d %q", status, said)
		}
		if status, said := asked(t, at+"/api", ""); status != http.StatusUnauthorized {
			t.Errorf("without a token it says %d %q", status, said)
		}
	})
}

// compiled has Maven compile a project, and returns the class path to run it with.
func compiled(t *testing.T, mvn, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "classpath")
	out, err := ran(t, dir, nil, mvn, "-q", "compile", "org.apache.maven.plugins:maven-dependency-plugin:build-classpath", "-Dmdep.outputFile="+file)
	if err != nil && unreachable(out) && os.Getenv("CI") != "true" {
		t.Skip("Maven cannot download what this needs")
	}
	if err != nil {
		t.Fatalf("mvn: %v\n%s", err, out)
	}
	jars, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "target", "classes") + string(filepath.ListSeparator) + strings.TrimSpace(string(jars))
}

// unreachable finds in what Maven says that its repository could not be asked: not that something is wrong with the project,
// or that there is no such thing.
func unreachable(said string) bool {
	return slices.ContainsFunc([]string{"Could not transfer ", "failed to transfer from ", "in offline mode"}, func(part string) bool {
		return strings.Contains(said, part)
	})
}

func TestOnlyAMissingNetworkSkips(t *testing.T) {
	for said, want := range map[string]bool{
		"Could not transfer artifact com.okta.jwt:okta-jwt-verifier:pom:0.5.9 from/to central (https://repo.maven.apache.org/maven2): repo.maven.apache.org: Unknown host":              true,
		"com.okta.jwt:okta-jwt-verifier:pom:0.5.9 failed to transfer from https://repo.maven.apache.org/maven2 during a previous attempt. This failure was cached":                      true,
		"Cannot access central (https://repo.maven.apache.org/maven2) in offline mode and the artifact com.okta.jwt:okta-jwt-verifier:jar:0.5.9 has not been downloaded from it before": true,
		"Could not find artifact com.okta.jwt:okta-jwt-verifier:jar:0.0.0 in central (https://repo.maven.apache.org/maven2)":                                                            false,
		"COMPILATION ERROR : /tmp/Verify.java:[3,1] class, interface, enum, or record expected":                                                                                         false,
	} {
		if got := unreachable(said); got != want {
			t.Errorf("%s: %v", said, got)
		}
	}
}

// What Maven calls to build has a version: a plug-in without one is the newest of the day. Spring's parent names all of its.
func TestMavenTakesNothingNewer(t *testing.T) {
	text, err := os.ReadFile("java/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	var project struct {
		Plugins []struct {
			ID      string `xml:"artifactId"`
			Version string `xml:"version"`
		} `xml:"build>plugins>plugin"`
	}
	if err := xml.Unmarshal(text, &project); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, p := range project.Plugins {
		versions[p.ID] = p.Version
	}
	for _, id := range []string{"maven-resources-plugin", "maven-compiler-plugin", "maven-dependency-plugin", "exec-maven-plugin"} {
		if versions[id] == "" {
			t.Errorf("%s has no version", id)
		}
	}
}

// trusting are the options with which Java believes one authority more than others: that of latchkey dev --tls, and no other.
func trusting(t *testing.T, keytool, authority string) []string {
	t.Helper()
	store := filepath.Join(t.TempDir(), "trust.p12")
	run(t, ".", nil, keytool, "-importcert", "-noprompt", "-alias", "latchkey", "-file", authority, "-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit")
	return []string{"-Djavax.net.ssl.trustStore=" + store, "-Djavax.net.ssl.trustStorePassword=changeit"}
}

// believing is a client that knows the authority of latchkey dev --tls.
func believing(t *testing.T, env map[string]string) *http.Transport {
	t.Helper()
	ca, err := os.ReadFile(env["CA_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
}

// tokenOf signs somebody in, to an application in Go, and returns the access token.
func tokenOf(t *testing.T, env map[string]string) string {
	t.Helper()
	client, err := idx.New(idx.Config{
		Issuer: env["ISSUER"], ClientID: env["CLIENT_ID_1FA"], RedirectURI: env["REDIRECT_URI"], Scopes: []string{"openid", "email"},
	}, idx.WithHTTPClient(&http.Client{Transport: believing(t, env)}))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := client.Authenticate(t.Context(), idx.Answers{Username: env["USERNAME_1FA"], Password: env["PASSWORD_1FA"]})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := client.Exchange(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	return tokens.AccessToken
}

// asked is what an API answers to a token.
func asked(t *testing.T, address, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// A spring is the application, compiled.
type spring struct {
	t         *testing.T
	env       map[string]string
	dir, java string
	trust     []string
	classpath string
}

// start runs the application with one of its configurations until the test ends, and returns where it is.
func (s *spring) start(t *testing.T, config string, env ...string) string {
	t.Helper()
	cmd := exec.Command(s.java, append(s.trust, "-XX:TieredStopAtLevel=1", "-cp", s.classpath, "example.App",
		"--spring.config.name="+config, "--server.address=127.0.0.1", "--server.port=0")...)
	cmd.Dir, cmd.Env = s.dir, append(append(os.Environ(), "ISSUER="+s.env["ISSUER"]), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout // one pipe for both
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	port, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadString('\n')
			said.WriteString(line)
			if at := startedOn.FindStringSubmatch(line); at != nil && len(port) == 0 {
				port <- at[1]
			}
			if err != nil {
				break
			}
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the application says:\n%s", &said)
		}
	})
	select {
	case at := <-port:
		return "http://127.0.0.1:" + at
	case <-ended:
		t.Fatal("the application has ended")
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	return ""
}

// startedOn is how Spring Boot says which port it took.
var startedOn = regexp.MustCompile(`Tomcat started on port (\d+)`)

// A person goes from page to page, and fills in the forms of the hosted pages as they are without JavaScript.
type person struct {
	t              *testing.T
	env            map[string]string
	http           *http.Client
	at             *url.URL
	page           string
	authorizations []url.Values // with which applications sent this person to us
}

func newPerson(t *testing.T, env map[string]string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, env: env}
	p.http = &http.Client{Jar: jar, Transport: believing(t, env), CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/v1/authorize") {
			p.authorizations = append(p.authorizations, r.URL.Query())
		}
		if len(via) > 20 {
			return fmt.Errorf("redirects without end, at %s", r.URL)
		}
		return nil
	}}
	return p
}

func (p *person) open(address string) { p.t.Helper(); p.send(http.MethodGet, address, nil) }

func (p *person) send(method, address string, form url.Values) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	response, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.at, p.page = response.Request.URL, string(body)
}

var (
	formTag  = regexp.MustCompile(`(?s)<form( class="main"[^>]*)>(.*?)</form>`)
	fieldTag = regexp.MustCompile(`<(?:input|button)[^>]*>`)
	attrText = regexp.MustCompile(`\s([a-z-]+)="([^"]*)"`)
)

// signIn fills in the main form of each page: a name, a password, the code that was sent, or nothing but its button.
func (p *person) signIn(name, password, phone string) {
	p.t.Helper()
	for range 5 {
		form := formTag.FindStringSubmatch(p.page)
		if form == nil {
			return
		}
		values := url.Values{}
		pressed := false
		for _, tag := range fieldTag.FindAllString(form[2], -1) {
			a := attributes(tag)
			switch button := strings.HasPrefix(tag, "<button"); {
			case a["name"] == "" || button && pressed:
				continue
			case strings.HasPrefix(a["autocomplete"], "username"):
				a["value"] = name
			case a["type"] == "password":
				a["value"] = password
			case a["autocomplete"] == "one-time-code":
				a["value"] = p.code(phone)
			case button:
				pressed = true
			case a["type"] == "checkbox":
				continue
			}
			values.Set(a["name"], a["value"])
		}
		to, err := p.at.Parse(attributes(form[1])["action"])
		if err != nil {
			p.t.Fatal(err)
		}
		p.send(http.MethodPost, to.String(), values)
	}
	p.t.Fatalf("not signed in, at %s: %s", p.at, p.page)
}

func attributes(tag string) map[string]string {
	all := map[string]string{}
	for _, m := range attrText.FindAllStringSubmatch(tag, -1) {
		all[m[1]] = html.UnescapeString(m[2])
	}
	return all
}

// code is the newest that was sent to a number.
func (p *person) code(phone string) string {
	p.t.Helper()
	response, err := p.http.Get(p.env["OUTBOX_URL"] + "?wait=10s&to=" + url.QueryEscape(phone))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var texts []struct{ Body string }
	if err := json.NewDecoder(response.Body).Decode(&texts); err != nil || len(texts) == 0 {
		p.t.Fatalf("%d texts, %v", len(texts), err)
	}
	return regexp.MustCompile(`\d{6}`).FindString(texts[len(texts)-1].Body)
}
