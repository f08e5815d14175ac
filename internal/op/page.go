package op

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"

	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
)

// The few pages that a person ever sees from these endpoints, in the looks of the sign-in pages. Those are signin's
// business.
const pageStyle = `:root{color-scheme:light dark;--ink:#1b1f1e;--soft:#5b6663;--ground:#f3f3f1;--glow:#e4ebe7;--card:#fff;--line:#d9dedb;--accent:#0d6d58;--on:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#eef2f0;--soft:#a5b0ac;--ground:#141817;--glow:#1c2422;--card:#1d2321;--line:#39423f;--accent:#5cc5a9;--on:#0b1512}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;padding:4.75rem 1rem;background:linear-gradient(var(--glow),var(--ground) 25rem) var(--ground);color:var(--ink);font:1rem/1.5 -apple-system,"Segoe UI",Roboto,Inter,"Helvetica Neue",Cantarell,Ubuntu,"Noto Sans","Liberation Sans",system-ui,sans-serif}
main{max-width:26.5rem;margin:0 auto;padding:2.5rem;background:var(--card);border:1px solid var(--line);border-radius:1rem;box-shadow:0 8px 24px rgb(0 0 0/.06)}
h1{margin:0 0 1rem;font-size:1.625rem;line-height:1.2;letter-spacing:-.01em;text-wrap:balance}p,li{color:var(--soft)}code{display:block;padding:.75rem 1rem;border-radius:.75rem;background:var(--ground);color:var(--ink);font:.875rem/1.5 ui-monospace,monospace;overflow-wrap:anywhere}strong{color:var(--ink)}a{color:var(--accent)}label{display:block;margin-bottom:.5rem;font-weight:600;color:var(--ink)}
form>p:last-child{margin-bottom:0}button,input{font:inherit;width:100%;min-height:3rem;padding:.5rem 1rem;border-radius:.75rem}input{color:var(--ink);background:var(--card);border:1px solid var(--soft)}
button{margin-top:.5rem;font-weight:600;color:var(--on);background:var(--accent);border:1px solid var(--accent);cursor:pointer}button+button{color:var(--accent);background:none;border-color:var(--soft)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}@media (max-width:30rem){body{padding:0;background:var(--card)}main{border:0;border-radius:0;box-shadow:none;padding:2rem 1.25rem}}`

// A tongue is the language that a page is in.
type tongue struct{ lang msg.Lang }

// speaks prefers what the application asked for (ui_locales) to what the browser does, as the sign-in pages do: a person
// does not change languages on the way.
func (c *call) speaks() tongue { return tongueOf(c.Request, c.params["ui_locales"]) }

func tongueOf(r *http.Request, locales string) tongue {
	return tongue{msg.Prefer(locales, r.Header.Get("Accept-Language"))}
}

// T is a text, for a template as for us.
func (t tongue) T(k msg.Key, params ...string) string { return msg.Text(t.lang, k, params...) }

// Lang is the language's tag.
func (t tongue) Lang() string { return t.lang.String() }

// sheet makes the template of a page whose data has a language and a Title.
func sheet(name, style, head, main string) *template.Template {
	return template.Must(template.New(name).Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
` + head + `<title>{{.Title}}</title>
<style>` + style + `</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
` + main + `</body>
</html>
`))
}

var pageTemplate = sheet("page", pageStyle, "", `{{range .Text}}<p>{{.}}</p>
{{end}}{{with .Detail}}<code lang="en">{{.}}</code>
{{end}}</main>
`)

var pagePolicy = policyFor(pageStyle)

// policyFor lets the one style through, by its digest, and nothing else.
func policyFor(style string) string {
	return "default-src 'none'; style-src " + hashOf(style) + "; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

// A postTemplate hands an answer over by a form that sends itself (OAuth 2.0 Form Post Response Mode); without
// scripts it has a button.
var postTemplate = sheet("post", pageStyle, "", `<form method="post" action="{{.Back}}">
{{range $name, $value := .Values}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<p><button>{{.T "`+string(msg.PageContinue)+`"}}</button></p>
</form>
</main>
<script>`+postScript+`</script>
`)

const postScript = `document.forms[0].submit()`

// registered is an address of an application as links and forms may hold it. Templates let through http and https alone,
// but apps have schemes of their own (RFC 8252 7.1). It must have been found to be registered: those that run something,
// such as javascript, never are (oauth.CheckRedirect).
func registered(address string) template.URL { return template.URL(address) }

// posted answers an application by a form post.
func posted(t tongue, back string, add url.Values) reply {
	values := map[string]string{}
	for name := range add {
		if value := add.Get(name); value != "" {
			values[name] = value
		}
	}
	p := drawn(t, http.StatusOK, postTemplate, struct {
		tongue
		Title  string
		Back   template.URL
		Values map[string]string
	}{t, t.T(msg.PageBack), registered(back), values})
	p.policy = "default-src 'none'; style-src " + hashOf(pageStyle) + "; script-src " + hashOf(postScript) +
		"; frame-ancestors 'none'; base-uri 'none'; form-action " + target(back)
	return p
}

// hashOf names a style or script in a policy.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func drawn(t tongue, status int, page *template.Template, data any) reply {
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		panic("op: a page that cannot be drawn: " + err.Error()) // strings and a constant: a programming error
	}
	return reply{status: status, kind: []string{"text/html; charset=utf-8"}, body: body.Bytes(), page: true, lang: t.Lang()}
}

// A statement is a page that only says something.
type statement struct {
	tongue
	Title  string
	Text   []string
	Detail string // in English, for whoever looks into it
}

func (s statement) reply(status int) reply { return drawn(s.tongue, status, pageTemplate, s) }

// deadEnd is the page for a request that leads nowhere, for a reason that a person can understand.
func deadEnd(t tongue, status int, why msg.Key) reply {
	return statement{tongue: t, Title: t.T(msg.PageLink), Text: []string{t.T(why), t.T(msg.PageAgain)}}.reply(status)
}

// errorPage is the page for any other error. What OAuth says of it is for whoever runs the application, or this server.
func errorPage(t tongue, status int, e *oauth.Error) reply {
	title, text := msg.PageLink, msg.PageAgain
	switch {
	case status >= http.StatusInternalServerError:
		title, text = msg.PageBroken, msg.PageBrokenText
	case status == http.StatusTooManyRequests:
		title, text = msg.PageOften, msg.PageOftenText
	}
	s := statement{tongue: t, Title: t.T(title), Text: []string{t.T(text), t.T(msg.PageDetail)}}
	s.Detail = string(e.Code) + ": " + e.Description
	return s.reply(status)
}
