package hook

import (
	"regexp"

	"latchkey.dev/internal/gateway"
)

// The documents of a telephony inline hook, by its reference:
// https://developer.okta.com/docs/reference/telephony-hook/.

type request struct {
	EventID           string `json:"eventId"`
	EventTime         string `json:"eventTime"`
	EventType         string `json:"eventType"`
	EventTypeVersion  string `json:"eventTypeVersion"`
	ContentType       string `json:"contentType"`
	CloudEventVersion string `json:"cloudEventVersion"`
	Source            string `json:"source"`
	RequestType       string `json:"requestType"`
	Data              data   `json:"data"`
}

// Hooks reach deep into the data without asking, so that what we do not tell is there and empty.
type data struct {
	Context struct {
		Request struct {
			ID     string `json:"id"`
			Method string `json:"method"`
			URL    struct {
				Value string `json:"value"`
			} `json:"url"`
			IPAddress string `json:"ipAddress"`
		} `json:"request"`
	} `json:"context"`
	UserProfile struct {
		FirstName string `json:"firstName"`
		LastName  string `json:"lastName"`
		Login     string `json:"login"`
		UserID    string `json:"userId"`
	} `json:"userProfile"`
	MessageProfile struct {
		MsgTemplate     string `json:"msgTemplate"`
		PhoneNumber     string `json:"phoneNumber"`
		OTPExpires      string `json:"otpExpires"`
		DeliveryChannel string `json:"deliveryChannel"`
		OTPCode         string `json:"otpCode"`
		Locale          string `json:"locale"`
	} `json:"messageProfile"`
}

type response struct {
	Commands []struct {
		Type  string `json:"type"`
		Value []struct {
			Status   string `json:"status"`
			Provider string `json:"provider"`
			Metadata string `json:"transactionMetadata"`
		} `json:"value"`
	} `json:"commands"`
	Error struct {
		Summary string `json:"errorSummary"`
	} `json:"error"`
}

// clock is how times are written: milliseconds, UTC.
const clock = "2006-01-02T15:04:05.000Z"

func (g *Gateway) request(t gateway.Text) request {
	r := request{
		EventID:           t.ID,
		EventTime:         g.Now().UTC().Format(clock),
		EventType:         "com.okta.telephony.provider",
		EventTypeVersion:  "1.0",
		ContentType:       "application/json",
		CloudEventVersion: "0.1",
		Source:            g.Source,
		RequestType:       "com.okta.user.telephony.mfa-verification",
	}
	r.Data.Context.Request.ID = t.ID
	r.Data.Context.Request.Method = "POST"
	m := &r.Data.MessageProfile
	m.MsgTemplate = t.Body.Reveal()
	m.PhoneNumber = t.To.Reveal()
	m.DeliveryChannel = "SMS"
	m.OTPCode = codeIn(t.Body.Reveal())
	m.Locale = g.Locale
	if !t.NotAfter.IsZero() {
		m.OTPExpires = t.NotAfter.UTC().Format(clock)
	}
	return r
}

// A text says its code twice: to the reader, and in a last line to the phone, as an origin-bound one-time
// code (S-15; https://wicg.github.io/sms-one-time-codes/).
var (
	bound  = regexp.MustCompile(`(?:^|\n)@[^ #\n]+ #([^ \n]+)[^\n]*$`)
	digits = regexp.MustCompile(`[0-9]{4,10}`)
)

// codeIn finds the code in a text: in the line for the phone, or where there is none, as the only number that
// could be one. A text without a code has none.
func codeIn(body string) string {
	if found := bound.FindStringSubmatch(body); found != nil {
		return found[1]
	}
	if found := digits.FindAllString(body, -1); len(found) == 1 {
		return found[0]
	}
	return ""
}
