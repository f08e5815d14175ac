package notice

import (
	"strings"
	"time"

	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// A Change is something about an account that its owner should hear of: whoever did it, if it was not them,
// will not say so.
type Change int

// The changes.
const (
	PhoneAdded Change = iota
	PhoneRemoved
	PasswordChanged
)

// Mail is the e-mail about a change.
type Mail struct {
	Change Change
	Name   string // of the person; may be empty
	Login  string
	Hint   string // the phone, as it may be shown
	Host   string // where they sign in
	At     time.Time
	Zone   string // IANA time zone of the person; UTC if empty or unknown
	Lang   msg.Lang
}

// words are the subject and the sentence of each change, and what goes around it, by language.
var words = map[msg.Lang]struct {
	subject, sentence  map[Change]string
	greeting, nameless string
	close              string
	time               string
}{
	msg.English: {
		subject: map[Change]string{
			PhoneAdded: "A phone was set up for your account", PhoneRemoved: "The phone of your account was removed",
			PasswordChanged: "The password of your account was changed",
		},
		sentence: map[Change]string{
			PhoneAdded:      "the phone {hint} was set up for signing in as {login} at {host}, on {time}.",
			PhoneRemoved:    "the phone {hint} was removed from {login} at {host}, on {time}.",
			PasswordChanged: "the password of {login} at {host} was changed, on {time}.",
		},
		greeting: "Hello {name},", nameless: "Hello,", time: "2 January 2006 at 15:04 MST",
		close: "If that was you, there is nothing to do. If it was not, tell your administrator at once.",
	},
	msg.German: {
		subject: map[Change]string{
			PhoneAdded: "Für Ihr Konto wurde ein Telefon eingerichtet", PhoneRemoved: "Das Telefon Ihres Kontos wurde entfernt",
			PasswordChanged: "Das Passwort Ihres Kontos wurde geändert",
		},
		sentence: map[Change]string{
			PhoneAdded:      "das Telefon {hint} wurde für die Anmeldung als {login} bei {host} eingerichtet, am {time}.",
			PhoneRemoved:    "das Telefon {hint} wurde von {login} bei {host} entfernt, am {time}.",
			PasswordChanged: "das Passwort von {login} bei {host} wurde geändert, am {time}.",
		},
		greeting: "Guten Tag {name},", nameless: "Guten Tag,", time: "02.01.2006, 15:04 MST",
		close: "Wenn Sie das waren, ist nichts zu tun. Wenn nicht, wenden Sie sich sofort an Ihre Administration.",
	},
	msg.French: {
		subject: map[Change]string{
			PhoneAdded: "Un téléphone a été configuré pour votre compte", PhoneRemoved: "Le téléphone de votre compte a été supprimé",
			PasswordChanged: "Le mot de passe de votre compte a été modifié",
		},
		sentence: map[Change]string{
			PhoneAdded:      "le téléphone {hint} a été configuré pour la connexion en tant que {login} sur {host}, le {time}.",
			PhoneRemoved:    "le téléphone {hint} a été supprimé de {login} sur {host}, le {time}.",
			PasswordChanged: "le mot de passe de {login} sur {host} a été modifié, le {time}.",
		},
		greeting: "Bonjour {name},", nameless: "Bonjour,", time: "02/01/2006 à 15:04 MST",
		close: "Si c’était vous, il n’y a rien à faire. Sinon, prévenez immédiatement votre administrateur.",
	},
	msg.Spanish: {
		subject: map[Change]string{
			PhoneAdded: "Se ha configurado un teléfono para su cuenta", PhoneRemoved: "Se ha quitado el teléfono de su cuenta",
			PasswordChanged: "Se ha cambiado la contraseña de su cuenta",
		},
		sentence: map[Change]string{
			PhoneAdded:      "el teléfono {hint} se ha configurado para iniciar sesión como {login} en {host}, el {time}.",
			PhoneRemoved:    "el teléfono {hint} se ha quitado de {login} en {host}, el {time}.",
			PasswordChanged: "la contraseña de {login} en {host} se ha cambiado, el {time}.",
		},
		greeting: "Hola, {name}:", nameless: "Hola:", time: "02/01/2006 a las 15:04 MST",
		close: "Si ha sido usted, no tiene que hacer nada. Si no, avise a su administrador de inmediato.",
	},
}

// Text writes the mail: the subject as its first line, then what happened, when, and what to do. It has no
// link, so that nobody learns to follow links in such mail.
func (m Mail) Text() secret.Text {
	w := words[m.Lang]
	greeting := w.greeting
	if m.Name == "" {
		greeting = w.nameless
	}
	zone, err := time.LoadLocation(m.Zone)
	if err != nil {
		zone = time.UTC
	}
	fill := strings.NewReplacer("{name}", line(m.Name), "{login}", line(m.Login), "{hint}", m.Hint, "{host}", m.Host, "{time}", m.At.In(zone).Format(w.time))
	return secret.Text(w.subject[m.Change] + "\n\n" + fill.Replace(greeting+"\n\n"+w.sentence[m.Change]+"\n\n"+w.close) + "\n")
}

// line keeps what people call themselves from looking like more of the mail, or like a link: a name can be
// chosen by whoever the mail warns of.
func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return strings.ReplaceAll(s, "://", ": //")
}
