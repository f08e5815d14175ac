package op

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
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
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

func page(status int, title, text string) reply {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, struct{ Title, Text string }{title, text}); err != nil {
		panic("op: a page that cannot be drawn: " + err.Error()) // two strings and a constant: a programming error
	}
	return reply{status: status, kind: []string{"text/html; charset=utf-8"}, body: body.Bytes(), page: true}
}

func signedOut(status int, text string) reply {
	if text == "" {
		text = "You can close this window."
	}
	return page(status, "You are signed out", text)
}

func errorPage(status int, text string) reply {
	if status >= http.StatusInternalServerError {
		return page(status, "That did not work", "The fault is on our side. Please try again in a moment.")
	}
	return page(status, "This link does not work", text+" Please go back to the application and begin again.")
}
