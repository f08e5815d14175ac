package password

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// How long a new password is, in code points after NFC: MinLength where nobody gets in without a second factor,
// MinAlone where the password may be all that somebody shows, and in no case more than MaxLength (S-02).
const (
	MinLength = 8
	MinAlone  = 15
	MaxLength = 256
)

// Least is how long a new password has to be. It is the person's, not an application's: one who has it may get into
// whichever application asks for least.
func Least(twoFactors bool) int {
	if twoFactors {
		return MinLength
	}
	return MinAlone
}

// Check judges a new password: whether it has the least length, whether it is a common one, and whether it is made of what
// anybody knows about the person (login, names) or of our own name (S-03). There are no composition rules.
func Check(password secret.Text, least int, about ...string) error {
	p := norm.NFC.String(password.Reveal())
	if len(password) > MaxBytes {
		return fault.New(fault.Invalid, msg.Malformed, "password of %d bytes", len(password))
	}
	if n := utf8.RuneCountInString(p); n < least || n > MaxLength {
		return fault.New(fault.Invalid, msg.PasswordRequirements, "password of %d code points", n).
			At("passcode").With(fmt.Sprintf("Password requirements: at least %d characters, at most %d characters.", least, MaxLength))
	}
	core := skeleton(p)
	for _, word := range append(about, "latchkey") {
		name, _, _ := strings.Cut(word, "@")
		if name = skeleton(name); utf8.RuneCountInString(name) >= 3 && core == name {
			return fault.New(fault.Invalid, msg.PasswordRequirements, "password made of what is known of the person").
				At("passcode").With("Password requirements: not your name or your username.")
		}
	}
	if core == "" || isCommon(core) || isCommon(letters(p)) {
		return fault.New(fault.Invalid, msg.PasswordCommon, "password is a common one").At("passcode")
	}
	return nil
}

// skeleton reduces a password to what a guesser starts from: lower case, the usual letters for digits,
// and no decoration in front or behind (Passw0rd!2024 and password are one guess apart).
func skeleton(p string) string {
	p = strings.TrimFunc(strings.ToLower(p), func(r rune) bool { return !unicode.IsLetter(r) })
	return leet.Replace(p)
}

// letters leaves out everything else: 1qaz2wsx is a walk down the keyboard with the digits above it.
func letters(p string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, p)
}

var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "8", "b", "@", "a", "$", "s", "!", "i", " ", "", "-", "", "_", "", ".", "")

// isCommon reports whether the skeleton is a common word, two of them in a row, or one repeated.
func isCommon(core string) bool {
	if common[core] {
		return true
	}
	for i := 1; i < len(core); i++ {
		if common[core[:i]] && common[core[i:]] && i >= 3 && len(core)-i >= 3 {
			return true
		}
	}
	return false
}

// common are the words that lists of leaked passwords begin with. With the decorations that skeleton
// takes away and the pairs that isCommon finds they stand for far more than the 10,000 of S-03: the
// pairs alone are over 60,000.
var common = func() map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(commonWords) {
		set[w] = true
	}
	return set
}()

const commonWords = `
password passwort passwd pass passcode motdepasse contrasena kennwort secret secrets geheim hallo hello letmein welcome willkommen bienvenue
admin administrator root user users guest test tester testing login master access enter open default changeme change temp temporary
qwerty qwertyuiop qwertz qwertzuiop azerty azertyuiop asdf asdfgh asdfghjkl zxcvbn zxcvbnm yxcvbnm qazwsx qazwsxedc qaz wsx edc qwe asd zxc qwer
abc abcd abcde abcdef abcdefg abcdefgh abcdefghi aaa aaaa aaaaaa aaaaaaaa bbb xxx xxxx xxxxxx zzz zzzzzz
dragon monkey tiger lion wolf eagle falcon panther shadow phoenix horse pony kitten kitty cat cats dog dogs puppy bear bunny rabbit bird fish
dolphin shark snake spider butterfly turtle panda koala chicken
football fussball soccer baseball basketball hockey tennis golf rugby cricket racing runner player gamer gaming game games winner champion
superman batman spiderman ironman wonderwoman avengers joker hulk thor marvel pokemon pikachu naruto goku mario zelda sonic minecraft fortnite
roblox starwars jedi yoda matrix neo trustno hunter killer ninja samurai pirate ranger soldier warrior knight wizard magic
love lover loveme loveyou iloveyou iloveu iloveme jetaime teamo tequiero ichliebedich amor amore liebe schatz angel angels heaven jesus christ god
princess prinzessin princesa princesse queen king prince baby babygirl babyboy honey sugar sweety sweetie darling cutie sunshine sunflower flower
flowers rose rosebud daisy lily jasmine blossom cherry apple banana orange lemon peach pepper ginger cookie cookies chocolate cheese butter
coffee pizza sugar candy
summer winter spring autumn sommer herbst fruehling january february march april may june july august september october november december
monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag sonntag lundi mardi vendredi
michael michelle jennifer jessica ashley amanda andrew anthony alexander alex daniel david charlie thomas robert william joseph joshua matthew
nicole natalie samantha sarah stephanie hannah jordan justin brandon jason kevin brian eric george harry harley maggie buster bailey
max maria marie anna lisa laura julia sophie emma lena leon lukas paul peter martin stefan andreas christian sebastian tobias carlos jose juan
pedro pablo diego antonio francisco isabel carmen lucia pierre jean jacques nicolas camille chloe
london paris berlin madrid roma wien zurich america american canada england france germany deutschland espana mexico brasil india china japan
newyork chicago dallas houston boston austin denver texas california florida
liverpool chelsea arsenal manchester barcelona realmadrid juventus bayern dortmund schalke yankees lakers cowboys steelers eagles redsox patriots
mercedes ferrari porsche audi bmw toyota honda ford mustang corvette camaro harleydavidson yamaha kawasaki ducati
computer laptop internet google facebook youtube twitter instagram whatsapp snapchat tiktok amazon apple microsoft windows linux samsung nokia
android iphone server database oracle cisco network system office company business work money dollar bank gold silver diamond
music guitar piano drums metallica slipknot nirvana eminem beatles elvis madonna rockstar rock
blue red green yellow black white purple pink orange brown silver blau rot gruen gelb schwarz weiss azul rojo verde negro blanco
one two three four five six seven eight nine ten eins zwei drei uno dos tres
super mega ultra power strong freedom forever always never nothing something anything whatever please thanks thankyou sorry
happy smile lucky crazy sexy hot cool nice good great best bad evil dark death dead devil demon hell ghost vampire zombie
family mother father mom dad mommy daddy mama papa sister brother friend friends girl girls boy boys man woman wife husband
school college university student teacher doctor nurse police army navy marine pilot captain
star stars sky sun moon earth fire water ice snow rain storm thunder lightning ocean river mountain forest
horse battery staple none null undefined private public key keys code codes unlock latchkey
`
