package op

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
)

// The few words that a person ever sees from these endpoints. Sign-in pages are signin's business.
const pageStyle = `:root{color-scheme:light dark}body{font:1.0625rem/1.5 system-ui,sans-serif;max-width:30rem;margin:20vh auto 0;padding:0 1.5rem}h1{font-size:1.5rem;font-weight:600;line-height:1.25}p{opacity:.85}`

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
