package signin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/http"
)

var (
	//go:embed assets/signin.css
	styleCSS []byte
	//go:embed assets/signin.js
	scriptJS []byte
	//go:embed assets/latchkey.svg
	latchkeySVG []byte
)

// An asset is a file of the pages. Its address names its content, so that browsers may keep it for ever.
type asset struct {
	kind    string
	content []byte
	version string
}

// newAssets makes the files for one accent colour and one logo (nil is Latchkey's own mark, in that colour).
func newAssets(accent colour, logo []byte) (map[string]asset, error) {
	kind := "image/svg+xml"
	if logo == nil {
		p := lightPalette(accent)
		logo = bytes.ReplaceAll(latchkeySVG, []byte(defaultAccent), []byte(p.fill.String()))
		logo = bytes.ReplaceAll(logo, []byte("#fff"), []byte(p.on.String()))
	} else if !bytes.Contains(logo[:min(len(logo), 1024)], []byte("<svg")) {
		if kind = http.DetectContentType(logo); kind != "image/png" && kind != "image/jpeg" && kind != "image/webp" {
			return nil, fmt.Errorf("signin: the logo is %s, not SVG, PNG, JPEG or WebP", kind)
		}
	}
	all := map[string]asset{
		"signin.css": {kind: "text/css; charset=utf-8", content: styleCSS},
		"theme.css":  {kind: "text/css; charset=utf-8", content: []byte(themeCSS(accent))},
		"signin.js":  {kind: "text/javascript; charset=utf-8", content: scriptJS},
		"logo":       {kind: kind, content: logo},
	}
	for name, a := range all {
		sum := sha256.Sum256(a.content)
		a.version = hex.EncodeToString(sum[:6])
		all[name] = a
	}
	return all, nil
}

// asset serves one file.
func (s *Pages) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.PathValue("file")]
	if !ok {
		s.missing(w, r)
		return
	}
	h := w.Header()
	// An SVG that is opened by itself is a document: it gets no scripts, no styles, nothing.
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Type", a.kind)
	h.Del("Vary")
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.content)
}
