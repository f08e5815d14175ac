package op_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey.dev/internal/oauth"
)

// speaks fails the test unless a page is in a language, says what it should, and leaves no text key standing.
func speaks(t *testing.T, w *httptest.ResponseRecorder, lang string, words ...string) {
	t.Helper()
	body := w.Body.String()
	for _, said := range append(words, `<html lang="`+lang+`">`) {
		if !strings.Contains(body, said) {
			t.Errorf("the page does not say %q:\n%s", said, body)
		}
	}
	if w.Header().Get("Content-Language") != lang || !strings.Contains(w.Header().Get("Vary"), "Accept-Language") {
		t.Errorf("headers %v", w.Header())
	}
	if key := regexp.MustCompile(`\b(page|device|scope)\.[a-z]+`).FindString(body); key != "" || strings.Contains(body, "{0}") {
		t.Errorf("a text that nobody wrote, %q:\n%s", key, body)
	}
}

func TestPagesSpeakTheLanguageOfTheirPerson(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		h.client("0oa1second", func(c *oauth.Client) { c.FrontChannelLogout = "https://second.example/front" })
		for _, test := range []struct{ lang, link, unknown, leave, left, back, again string }{
			{"en", "This link does not work", "is not known to this server", "Do you want to sign out?", "You are signed out", "Back to the application", "tell your administrator"},
			{"de", "Dieser Link funktioniert nicht", "ist diesem Server nicht bekannt", "Möchten Sie sich abmelden?", "Sie sind abgemeldet", "Zurück zur Anwendung", "nennen Sie Ihrer Administration"},
			{"fr", "Ce lien ne fonctionne pas", "n’est pas connue de ce serveur", "Voulez-vous vous déconnecter ?", "Vous êtes déconnecté", "Retour à l’application", "à votre administrateur"},
			{"es", "Este enlace no funciona", "Este servidor no conoce", "¿Quiere cerrar la sesión?", "Ha cerrado la sesión", "Volver a la aplicación", "a su administrador"},
		} {
			t.Run(test.lang, func(t *testing.T) {
				h.lang = test.lang + "-CH, en;q=0.5"
				b := h.tab()
				speaks(t, b.authorize("0oa1nobody"), test.lang, test.link, test.unknown)
				speaks(t, b.authorize(appID, "redirect_uri", "https://evil.example/"), test.lang, test.link)
				speaks(t, b.visit(http.MethodGet, "/login/token/redirect", nil), test.lang, test.link, test.again, `<code lang="en">invalid_request: The parameter &#39;stateToken&#39; is missing.</code>`)
				speaks(t, b.visit(http.MethodGet, "/login/token/redirect?stateToken=x", nil), test.lang, test.link)
				speaks(t, b.visit(http.MethodGet, "/login/begin?back=/elsewhere", nil), test.lang, test.link)
				got := b.enter(appID)
				b.authorize("0oa1second")
				speaks(t, b.authorize(appID, "response_mode", "form_post"), test.lang, test.back)
				speaks(t, b.logout(), test.lang, test.leave)
				speaks(t, b.logout("id_token_hint", got.ID, "post_logout_redirect_uri", bye), test.lang, test.left)
				speaks(t, b.logout("post_logout_redirect_uri", bye), test.lang, test.left)
			})
		}
	})
}

// Who was spoken to in German at the sign-in is not said goodbye to in English.
func TestPagesSpeakWhatTheApplicationAsksFor(t *testing.T) {
	h := newHosted(t, open(t))
	h.lang = "fr"
	b := h.tab()
	b.enter(appID)
	speaks(t, b.authorize(appID, "response_mode", "form_post", "ui_locales", "ja de-AT en"), "de", "Zurück zur Anwendung")
	speaks(t, b.authorize("0oa1nobody", "ui_locales", "de"), "de")
	speaks(t, b.authorize(appID, "redirect_uri", "https://evil.example/", "ui_locales", "ja"), "fr")
	w := b.logout("ui_locales", "de")
	speaks(t, w, "de", `<input type="hidden" name="ui_locales" value="de">`)
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(w.Body.String())
	speaks(t, b.visit(http.MethodPost, base+"v1/logout", url.Values{"ticket": {ticket[1]}, "ui_locales": {"de"}}), "de", "Sie können dieses Fenster schließen.")
	speaks(t, b.logout("client_id", "a", "client_id", "b", "ui_locales", "es"), "es")
}

func TestActivationSpeaksTheLanguageOfItsPerson(t *testing.T) {
	onBothSofas(t, func(t *testing.T, s *sofa) {
		german := header{"Accept-Language": "de"}
		in := func(a answer, words ...string) answer {
			t.Helper()
			speaks(t, a.ResponseRecorder, "de", words...)
			return a
		}
		send := func(pairs ...string) answer {
			return s.kept(s.form("/activate", header{"Cookie": s.cookie, "Accept-Language": "de"}, pairs...))
		}
		w := s.wants("openid profile email phone groups offline_access")
		page := in(s.kept(s.get("/activate", german)), "Auf einem Gerät anmelden", "Geben Sie den Code ein", ">Weiter<")
		in(send("form", formIn(page), "user_code", "BBBB-BBBB"), "Dieser Code stimmt nicht")
		asked := in(send("form", formIn(page), "user_code", w.User), "Living &lt;Room&gt; TV einlassen?", w.User, "wissen, wer Sie sind", "angemeldet bleiben", ">Ablehnen<")
		in(send("form", "x", "user_code", w.User), "zu lange offen", origin+"/activate")
		in(send("form", formIn(asked), "user_code", w.User, "answer", "continue"), "Ihr Gerät ist angemeldet")
		w = s.wants("openid")
		asked = in(send("form", formIn(page), "user_code", w.User))
		in(send("form", formIn(asked), "user_code", w.User, "answer", "deny"), "Das Gerät bleibt draußen")
		s.who.AMR = []string{"pwd"}
		in(send("form", formIn(page), "user_code", s.wants("openid").User), "verlangt mehr", ">Anmelden<")
		s.most = 0
		in(send("form", formIn(page), "user_code", "BBBB-BBBB"), "Das war zu oft")
	})
}
