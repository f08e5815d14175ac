package dev

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey.dev/demo"
	"latchkey.dev/internal/gateway/outbox"
	"latchkey.dev/internal/server"
)

//go:embed pages
var files embed.FS

var templates = template.Must(template.New("").ParseFS(files, "pages/*.html"))

// pagePolicy lets pages load what we serve and nothing else, without inline scripts (S-43).
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

// pages is everything of a dev house beside the endpoints: a page that says where things are, the control
// API, the outbox, and the sample application.
func (h *House) pages(house http.Handler) (http.Handler, error) {
	app, err := h.app(house)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.front)
	mux.HandleFunc("GET /dev/style.css", asset("pages/style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /dev/outbox.js", asset("pages/outbox.js", "text/javascript; charset=utf-8"))
	for path, verbs := range h.controls() {
		mux.HandleFunc(path, h.control(verbs))
	}
	outbox := h.control(h.controls()["/dev/outbox"])
	mux.HandleFunc("GET /dev/outbox", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			h.outboxPage(w, r)
			return
		}
		outbox(w, r)
	})
	mux.Handle("/app/", app)
	return mux, nil
}

// app is the sample application. It is a client of the house like any other, but for the missing socket.
func (h *House) app(house http.Handler) (http.Handler, error) {
	env := h.EnvMap()
	return demo.New(demo.Config{
		URL:        h.parts.Origin + "/app",
		Issuer:     env["ISSUER"],
		ClientID:   env["CLIENT_ID"],
		Keys:       [][32]byte{[32]byte(h.parts.Org.CookieKey)},
		HTTPClient: &http.Client{Transport: server.Local{Handler: house}},
		Now:        h.Clock.Now,
		Logger:     h.parts.Log,
		Hints: []demo.Hint{
			{Text: "Whom to sign in as, and where things are", Link: "Latchkey dev", URL: h.parts.Origin + "/"},
			{Text: "Where the texts arrive", Link: "Outbox", URL: env["OUTBOX_URL"]},
		},
	})
}

// A person is somebody to sign in as.
type person struct{ Login, Password, With string }

func (h *House) front(w http.ResponseWriter, r *http.Request) {
	o := h.parts.Org
	h.show(w, r, "front.html", map[string]any{
		"Env":     h.EnvMap(),
		"Relaxed": h.parts.Config.Relaxed(),
		"People": []person{
			{Mary, o.MaryPassword, "password, then a phone to set up"},
			{Paul, o.PaulPassword, "password, then a text to " + PaulsPhone},
			{Olivia, o.OliviaPassword, "password alone, with CLIENT_ID_1FA"},
		},
		"Clients": h.Seeded(),
	})
}

// A shown text has its code drawn out.
type shown struct {
	ID, To, Code string
	Lines        []string
	At           time.Time
}

var codeInText = regexp.MustCompile(`\b[0-9]{6}\b`)

func (h *House) outboxPage(w http.ResponseWriter, r *http.Request) {
	if err := ownSite(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	texts := h.Outbox.Texts(strings.Replace(r.URL.Query().Get("to"), " ", "+", 1))
	var all []shown
	newest := ""
	for _, t := range slices.Backward(texts) {
		if newest == "" {
			newest = t.ID
		}
		if len(all) == 100 {
			break // who looks for an older one asks for JSON
		}
		all = append(all, showText(t))
	}
	h.show(w, r, "outbox.html", map[string]any{"Texts": all, "Newest": newest, "Total": len(texts)})
}

func showText(t outbox.Text) shown {
	return shown{ID: t.ID, To: t.To, Code: codeInText.FindString(t.Body), Lines: strings.Split(strings.TrimSpace(t.Body), "\n"), At: t.At.UTC()}
}

func (h *House) show(w http.ResponseWriter, r *http.Request, name string, data any) {
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, name, data); err != nil {
		h.parts.Log.ErrorContext(r.Context(), "drawing a page", "page", name, slog.Any("error", err))
		http.Error(w, "this page cannot be drawn", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("Cache-Control", "no-store")
	_, _ = page.WriteTo(w)
}

func asset(name, kind string) http.HandlerFunc {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(data)
	}
}
