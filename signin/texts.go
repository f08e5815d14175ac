package signin

import (
	"embed"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed texts/*.json
var textFiles embed.FS

// fallback is the language of people whose browser asks for none of ours.
const fallback = "en"

// A catalogue is every text of one language by key. Keys of the engine's messages (api.authn.error.PASSCODE_INVALID)
// stand beside those of the pages (signin.title); "label.", "method.", "authenticator." and "about." are followed by a
// name that the protocol uses, so that what the engine labels in English is shown in the person's language.
type catalogue map[string]string

// catalogues are read once: they are part of the program, and a broken one is a bug that the tests find.
var catalogues = sync.OnceValue(func() map[string]catalogue {
	all := map[string]catalogue{}
	names, _ := fs.Glob(textFiles, "texts/*.json")
	for _, name := range names {
		b, _ := textFiles.ReadFile(name)
		c := catalogue{}
		if err := json.Unmarshal(b, &c); err != nil {
			panic("signin: " + name + ": " + err.Error())
		}
		all[strings.TrimSuffix(path.Base(name), ".json")] = c
	}
	return all
})

// A tongue is one language, ready to speak.
type tongue struct {
	Lang  string
	texts catalogue
}

// speak picks the language for an Accept-Language header (RFC 9110 12.5.4). It compares the first part of a tag only:
// de-AT and de-CH both read German. Ties go to the one named first.
func speak(header string) tongue {
	all := catalogues()
	best, weight := fallback, 0.0
	for _, part := range strings.Split(header, ",") {
		tag, params, _ := strings.Cut(part, ";")
		lang, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if _, ours := all[lang]; !ours && lang != "*" {
			continue
		}
		q := quality(params)
		if lang == "*" {
			lang = fallback
		}
		if q > weight {
			best, weight = lang, q
		}
	}
	return tongue{Lang: best, texts: all[best]}
}

// quality reads "q=0.7"; what cannot be read counts as not wanted.
func quality(params string) float64 {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1
	}
	v, ok := strings.CutPrefix(strings.ToLower(params), "q=")
	if !ok {
		return 0
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || q < 0 || q > 1 {
		return 0
	}
	return q
}

// T is the text for key with {0}, {1}, ... filled in. A key that nobody wrote shows as itself, which a test forbids.
func (t tongue) T(key string, args ...string) string {
	text, ok := t.texts[key]
	if !ok {
		return key
	}
	for i, arg := range args {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", arg)
	}
	return text
}

// or is the text for key, or what the engine says where we have none.
func (t tongue) or(key, text string) string {
	if t.has(key) {
		return t.texts[key]
	}
	return text
}

func (t tongue) has(key string) bool { _, ok := t.texts[key]; return ok }

// languages are those we speak, in a fixed order.
func languages() []string {
	var all []string
	for lang := range catalogues() {
		all = append(all, lang)
	}
	slices.Sort(all)
	return all
}
