package phone_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

func keys(t *testing.T) *secret.Keys {
	t.Helper()
	k, err := secret.NewKeys([secret.KeySize]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestS30_Numbers(t *testing.T) {
	p := phone.New(phone.Config{Keys: keys(t)})
	for typed, want := range map[string]string{
		"+15551234567":             "+15551234567",
		"+1 (555) 123-4567":        "+15551234567",
		"+1.555.123.4567":          "+15551234567",
		"+49 1512 3456789":         "+4915123456789",
		"+44 7911 123456":          "+447911123456",
		"+33 6 12 34 56 78":        "+33612345678",
		"555-CALL":                 "",
		"":                         "",
		"+":                        "",
		"5551234567":               "", // no country
		"0015551234567":            "",
		"+112":                     "", // what the widget sends for a typo
		"+1555123456":              "", // too short for +1
		"+155512345678":            "", // too long for +1
		"+999123456789":            "", // nobody's calling code
		"+19005551234":             "", // premium rate
		"+19001234567":             "", // the same, a number that is not assigned
		"+12129761234":             "", // premium exchange
		"+12429761234":             "", // the same on an island
		"+447012345678":            "", // a personal number, forwarded at the sender's expense
		"+979123456789":            "", // international premium rate
		"+881612345678":            "", // satellite
		"+882161234567":            "", // networks
		"+883510012345678":         "",
		"+870773123456":            "",
		"+80012345678":             "", // freephone
		"+4401711234567":           "", // national prefix left in
		"+1 555 123 4567 ext 3":    "",
		"+1555123４567":             "", // digits of another script
		"+15551234567\x00":         "",
		"+15551234567,+1555123456": "",
		strings.Repeat("+", 41):    "",
	} {
		t.Run(typed, func(t *testing.T) {
			got, err := p.Number(typed)
			if got != want {
				t.Fatalf("got %q (%v), want %q", got, err, want)
			}
			if want == "" && (fault.As(err).Key != msg.InvalidPhone || fault.As(err).Kind != fault.Invalid) {
				t.Errorf("refused with %v", err)
			}
		})
	}
}

func TestS31_OnlyListedCountries(t *testing.T) {
	const american, unassigned, canadian, jamaican, puertoRican, german, british, guernsey = "+12025550143", "+15551234567", "+14165550123",
		"+18765551234", "+17875550123", "+4915123456789", "+447400123456", "+447781123456"
	all := []string{american, unassigned, canadian, jamaican, puertoRican, german, british, guernsey}
	for name, c := range map[string]struct {
		countries []int
		regions   []string
		allowed   []string
	}{
		"codes":                             {[]int{49, 1}, nil, []string{american, unassigned, canadian, german}},
		"another code":                      {[]int{49}, nil, []string{german}},
		"S-30 an island is listed":          {[]int{1}, []string{"JM"}, []string{american, unassigned, canadian, jamaican}},
		"S-30 the islands are not +1":       {[]int{1}, nil, []string{american, unassigned, canadian}},
		"a region alone":                    {nil, []string{"US"}, []string{american, unassigned}},
		"a code is all regions that use it": {[]int{44}, nil, []string{british, guernsey}},
		"a region is not its neighbour":     {[]int{}, []string{"GB"}, []string{british}},
		"empty sends to nobody":             {[]int{}, nil, nil},
		"an empty list of regions, too":     {nil, []string{}, nil},
		"nil is dev":                        {nil, nil, all},
	} {
		t.Run(name, func(t *testing.T) {
			p := phone.New(phone.Config{Keys: keys(t), Countries: c.countries, Regions: c.regions})
			for _, number := range all {
				if _, err := p.Number(number); (err == nil) != slices.Contains(c.allowed, number) {
					t.Errorf("%s: %v", number, err)
				}
			}
		})
	}
}

func TestRegionsOf(t *testing.T) {
	for code, want := range map[int][]string{1: {"US", "CA"}, 49: {"DE"}, 7: {"RU", "KZ"}, 999: nil} {
		if got := phone.RegionsOf(code); !slices.Equal(got, want) {
			t.Errorf("+%d is %q, want %q", code, got, want)
		}
	}
}

func TestCountry(t *testing.T) {
	p := phone.New(phone.Config{Keys: keys(t)})
	for number, want := range map[string]string{
		"+12025550143": "US", "+15551234567": "US", "+18765551234": "JM", "+4915123456789": "DE", "+77012345678": "KZ", "nonsense": "",
	} {
		if got := p.Country(secret.Text(number)); got != want {
			t.Errorf("%s is in %q, want %q", number, got, want)
		}
	}
}

func TestS37_MaskShowsCountryAndLastFour(t *testing.T) {
	for number, want := range map[string]string{
		"+15551234567":   "+1 XXX-XXX-4567",
		"+4915123456789": "+49 XXX-XXX-6789",
		"nonsense":       "+X XXX-XXX-XXXX",
	} {
		if got := phone.Mask(number); got != want {
			t.Errorf("%s is shown as %s, want %s", number, got, want)
		}
	}
}

func TestS07_CodesAreUniformAndKeepLeadingZeros(t *testing.T) {
	p := phone.New(phone.Config{Keys: keys(t)})
	const n = 20000
	var first [10]int
	seen := map[string]bool{}
	for i := range n {
		code := p.Code(authn.Challenge{Binding: "x", Nonce: [16]byte{byte(i), byte(i >> 8), byte(i >> 16)}}).Reveal()
		if !phone.WellFormed(code) {
			t.Fatalf("code %q", code)
		}
		first[code[0]-'0']++
		seen[code] = true
	}
	for digit, count := range first { // expected 2000, standard deviation 42
		if count < 1750 || count > 2250 {
			t.Errorf("%d of %d codes begin with %d", count, n, digit)
		}
	}
	if len(seen) < n*97/100 {
		t.Errorf("only %d different codes of %d", len(seen), n)
	}
}

func TestS12_ACodeOpensOnlyItsBinding(t *testing.T) {
	p := phone.New(phone.Config{Keys: keys(t)})
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	c := authn.Challenge{Number: "+15551234567", Binding: "chl1 flow user phone sms +15551234567", Nonce: [16]byte{7}, Expires: now.Add(time.Minute)}
	code := p.Code(c)
	other := c
	other.Binding = strings.Replace(c.Binding, "user", "someone else", 1)
	for name, in := range map[string]struct {
		in authn.In
		ok bool
	}{
		"right":                  {authn.In{Now: now, Challenge: c, Answer: code}, true},
		"S-08 expired is wrong":  {authn.In{Now: c.Expires, Challenge: c, Answer: code}, false},
		"bound to somebody else": {authn.In{Now: now, Challenge: other, Answer: code}, false},
		"nothing":                {authn.In{Now: now, Challenge: c}, false},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := p.Verify(in.in)
			if err != nil || v.OK != in.ok {
				t.Errorf("got %+v, %v", v, err)
			}
		})
	}
}

func TestPinnedCode(t *testing.T) {
	p := phone.New(phone.Config{Keys: keys(t), Pin: func(n string) (string, bool) { return "424242", n == "+15551234567" }})
	if got := p.Code(authn.Challenge{Number: "+15551234567"}).Reveal(); got != "424242" {
		t.Errorf("pinned code is %s", got)
	}
	if got := p.Code(authn.Challenge{Number: "+15551234568"}).Reveal(); got == "424242" {
		t.Error("another number got the pinned code")
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"+15551234567", "+1 (555) 123-4567", "555-CALL", "+112", "+٣٣٦", "+1555123456789012345"} {
		f.Add(s)
	}
	k, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	p := phone.New(phone.Config{Keys: k})
	f.Fuzz(func(t *testing.T, typed string) {
		number, err := p.Number(typed)
		if err != nil {
			if fault.As(err).Kind != fault.Invalid {
				t.Fatalf("%q: %v", typed, err)
			}
			return
		}
		if len(number) < 9 || len(number) > 16 || number[0] != '+' || strings.Trim(number[1:], "0123456789") != "" {
			t.Fatalf("%q became %q", typed, number)
		}
		if again, err := p.Number(number); err != nil || again != number {
			t.Fatalf("%q became %q, which becomes %q, %v", typed, number, again, err)
		}
		if mask := phone.Mask(number); strings.Contains(mask, number[len(number)-5:]) {
			t.Fatalf("%q is shown as %q", number, mask)
		}
	})
}

var _ authn.Coder = (*phone.Phone)(nil)
