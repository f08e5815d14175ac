package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// The part of CycloneDX 1.6 that a bill of materials of a Go binary needs.
// https://cyclonedx.org/docs/1.6/json/
type (
	bom struct {
		Schema       string       `json:"$schema"`
		BOMFormat    string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp  string      `json:"timestamp"`
		Lifecycles []lifecycle `json:"lifecycles"`
		Tools      tools       `json:"tools"`
		Component  component   `json:"component"`
	}
	lifecycle struct {
		Phase string `json:"phase"`
	}
	tools struct {
		Components []component `json:"components"`
	}
	component struct {
		Ref        string          `json:"bom-ref,omitempty"`
		Type       string          `json:"type"`
		Name       string          `json:"name"`
		Version    string          `json:"version,omitempty"`
		Scope      string          `json:"scope,omitempty"`
		Hashes     []hash          `json:"hashes,omitempty"`
		Licenses   []licenseChoice `json:"licenses,omitempty"`
		PURL       string          `json:"purl,omitempty"`
		Properties []property      `json:"properties,omitempty"`
	}
	hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	licenseChoice struct {
		License licenseID `json:"license"`
	}
	licenseID struct {
		ID string `json:"id"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// BOM is the bill of materials of a binary (S-88): the modules that the linker says are in it, not those that
// go.mod names, with the sums that go.sum holds them to. The same binary has the same bill.
func (r Release) BOM(binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	self := component{
		Type: "application", Name: info.Main.Path, Version: r.Version, PURL: "pkg:golang/" + info.Main.Path + "@" + r.Version,
		Hashes: []hash{{"SHA-256", fmt.Sprintf("%x", sum)}}, Licenses: []licenseChoice{{licenseID{"Apache-2.0"}}},
		Properties: []property{{"latchkey:commit", r.Commit}},
	}
	self.Ref = self.PURL
	var p Platform
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			p.OS = s.Value
		case "GOARCH":
			p.Arch = s.Value
		}
		if slices.Contains([]string{"GOOS", "GOARCH", "CGO_ENABLED", "-trimpath"}, s.Key) {
			self.Properties = append(self.Properties, property{"latchkey:build:" + s.Key, s.Value})
		}
	}
	sources, err := modules(r.Source, []Platform{p})
	if err != nil {
		return nil, err
	}
	linked := map[string]string{"std": info.GoVersion}
	for _, m := range info.Deps {
		linked[m.Path] = m.Version
	}
	if len(sources) != len(linked) {
		return nil, fmt.Errorf("%s is made of %d modules, and the source here of %d", binary, len(linked), len(sources))
	}
	b := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1,
		SerialNumber: serial(sum),
		Metadata: metadata{
			Timestamp: r.Time.Format(time.RFC3339), Lifecycles: []lifecycle{{"build"}}, Component: self,
			Tools: tools{[]component{{Type: "application", Name: "latchkey.dev/tools/release", Version: r.Version}}},
		},
	}
	refs := map[string]string{info.Main.Path: self.Ref}
	for _, m := range sources {
		if linked[m.Path] != m.Version {
			return nil, fmt.Errorf("%s contains %s %s, and the source here asks for %s", binary, m.Path, linked[m.Path], m.Version)
		}
		c, err := m.component()
		if err != nil {
			return nil, err
		}
		b.Components, refs[m.Path] = append(b.Components, c), c.Ref
	}
	if b.Dependencies, err = dependencies(r.Source, refs); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(b)
	return out.Bytes(), err
}

func (m Module) component() (component, error) {
	terms, err := m.licenses()
	if err != nil {
		return component{}, err
	}
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	c := component{Ref: purl, Type: "library", Name: m.Path, Version: m.Version, Scope: "required", PURL: purl}
	for _, id := range identifiers(terms) {
		c.Licenses = append(c.Licenses, licenseChoice{licenseID{id}})
	}
	if m.Sum != "" {
		// go.sum's hash is over the files of a module and not over an archive, so it is no "hash" of CycloneDX.
		c.Properties = []property{{"latchkey:go.sum", m.Sum}}
	}
	return c, nil
}

// dependencies says which of the modules in refs asks for which, by `go mod graph`. Everything has a line, even
// without any, for that says that we looked; and everything stands on the standard library.
func dependencies(source string, refs map[string]string) ([]dependency, error) {
	graph, err := command(source, nil, "go", "mod", "graph")
	if err != nil {
		return nil, err
	}
	asks := map[string][]string{}
	for path, ref := range refs {
		asks[ref] = nil
		if path != "std" {
			asks[ref] = []string{refs["std"]}
		}
	}
	for line := range strings.Lines(graph) {
		from, to, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return nil, errors.New("go mod graph: " + line)
		}
		path, version, _ := strings.Cut(from, "@")
		needs, _, _ := strings.Cut(to, "@")
		ref, known := refs[path]
		if !known || version != "" && !strings.HasSuffix(ref, "@"+version) || refs[needs] == "" {
			continue // a version that was not chosen, or a module that is not in the binary
		}
		asks[ref] = append(asks[ref], refs[needs])
	}
	var all []dependency
	for ref, on := range asks {
		slices.Sort(on)
		all = append(all, dependency{ref, slices.Compact(on)})
	}
	slices.SortFunc(all, func(a, b dependency) int { return strings.Compare(a.Ref, b.Ref) })
	return all, nil
}

// serial is a UUID of version 8 (RFC 9562), made of the binary's digest: a random one would differ at each build.
func serial(sum [32]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
