package op

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
)

// The few pages that a person ever sees from these endpoints, in the looks of the sign-in pages. Those are signin's
// business.
const pageStyle = `:root{color-scheme:light dark;--ink:#1b1f1e;--soft:#5b6663;--ground:#f3f3f1;--glow:#e4ebe7;--card:#fff;--line:#d9dedb;--accent:#0d6d58;--on:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#eef2f0;--soft:#a5b0ac;--ground:#141817;--glow:#1c2422;--card:#1d2321;--line:#39423f;--accent:#5cc5a9;--on:#0b1512}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;padding:4.75rem 1rem;background:linear-gradient(var(--glow),var(--ground) 25rem) var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:26.5rem;margin:0 auto;padding:2.5rem;background:var(--card);border:1px solid var(--line);border-radius:1rem;box-shadow:0 8px 24px rgb(0 0 0/.06)}
h1{margin:0 0 1rem;font-size:1.625rem;line-height:1.2;letter-spacing:-.01em}p,li{color:var(--soft)}strong{color:var(--ink)}a{color:var(--accent)}label{font-weight:600;color:var(--ink)}
form>p:last-child{margin-bottom:0}button,input{font:inherit;width:100%;min-height:3rem;padding:.5rem 1rem;border-radius:.75rem}input{color:var(--ink);background:var(--card);border:1px solid var(--soft)}
button{margin-top:.5rem;font-weight:600;color:var(--on);background:var(--accent);border:1px solid var(--accent);cursor:pointer}button+button{color:var(--accent);background:none;border-color:var(--line)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}@media (max-width:30rem){body{padding:0;background:var(--card)}main{border:0;border-radius:0;box-shadow:none;padding:2rem 1.25rem}}`

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>` + pageStyle + `</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>
{{end}}</main>
</body>
</html>
`))

var pagePolicy = policyFor(pageStyle)

// policyFor lets the one style through, by its digest, and nothing else.
func policyFor(style string) string {
	return "default-src 'none'; style-src " + hashOf(style) + "; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

// A postTemplate hands an answer over by a form that sends itself (OAuth 2.0 Form Post Response Mode); without
// scripts it has a button.
var postTemplate = template.Must(template.New("post").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Back to the application</title>
<style>` + pageStyle + `</style>
</head>
<body>
<main>
<h1>Back to the application</h1>
<form method="post" action="{{.Back}}">
{{range $name, $value := .Values}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<p><button>Continue</button></p>
</form>
</main>
<script>` + postScript + `</script>
</body>
</html>
`))

const postScript = `document.forms[0].submit()`

// posted answers an application by a form post.
func posted(back string, add url.Values) reply {
	values := map[string]string{}
	for name := range add {
		if value := add.Get(name); value != "" {
			values[name] = value
		}
	}
	p := drawn(http.StatusOK, postTemplate, struct {
		Back   string
		Values map[string]string
	}{back, values})
	p.policy = "default-src 'none'; style-src " + hashOf(pageStyle) + "; script-src " + hashOf(postScript) +
		"; frame-ancestors 'none'; base-uri 'none'; form-action " + target(back)
	return p
}

// hashOf names a style or script in a policy.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func page(status int, title, text string) reply {
	return drawn(status, pageTemplate, struct{ Title, Text string }{title, text})
}

func drawn(status int, t *template.Template, data any) reply {
	var body bytes.Buffer
	if err := t.Execute(&body, data); err != nil {
		panic("op: a page that cannot be drawn: " + err.Error()) // strings and a constant: a programming error
	}
	return reply{status: status, kind: []string{"text/html; charset=utf-8"}, body: body.Bytes(), page: true}
}

func errorPage(status int, text string) reply {
	if status >= http.StatusInternalServerError {
		return page(status, "That did not work", "The fault is on our side. Please try again in a moment.")
	}
	return page(status, "This link does not work", text+" Please go back to the application and begin again.")
}
