package idxapi

// The shapes of an ION document. Members that are empty are left out: a null or an empty collection
// makes clients throw (idx 4.1).

type document struct {
	Version     string         `json:"version"`
	StateHandle string         `json:"stateHandle,omitempty"`
	ExpiresAt   string         `json:"expiresAt,omitempty"`
	Intent      string         `json:"intent,omitempty"`
	Remediation *list[form]    `json:"remediation,omitempty"`
	Messages    *list[message] `json:"messages,omitempty"`
	ErrorID     string         `json:"errorId,omitempty"`

	// What a general limit says beside its message (idx 4.7).
	ErrorCode    string    `json:"errorCode,omitempty"`
	ErrorSummary string    `json:"errorSummary,omitempty"`
	ErrorLink    string    `json:"errorLink,omitempty"`
	ErrorCauses  *[]string `json:"errorCauses,omitempty"`

	CurrentAuthenticator    *object[authenticator] `json:"currentAuthenticator,omitempty"`
	CurrentEnrollment       *object[authenticator] `json:"currentAuthenticatorEnrollment,omitempty"`
	Authenticators          *list[authenticator]   `json:"authenticators,omitempty"`
	Enrollments             *list[authenticator]   `json:"authenticatorEnrollments,omitempty"`
	EnrollmentAuthenticator *object[authenticator] `json:"enrollmentAuthenticator,omitempty"`

	User    *object[user] `json:"user,omitempty"`
	Cancel  *form         `json:"cancel,omitempty"`
	App     *object[app]  `json:"app,omitempty"`
	Success *form         `json:"successWithInteractionCode,omitempty"`
	Leave   *departure    `json:"success,omitempty"`
}

// A departure is where a browser goes next. It has no rel: what has one is a form, which clients would post (idx 4.3).
type departure struct {
	Name string `json:"name"`
	Href string `json:"href"`
}

type object[T any] struct {
	Type  string `json:"type"`
	Value T      `json:"value"`
}

type list[T any] struct {
	Type  string `json:"type"`
	Value []T    `json:"value"`
}

func objectOf[T any](v T) *object[T] { return &object[T]{"object", v} }

func listOf[T any](v []T) *list[T] {
	if len(v) == 0 {
		return nil
	}
	return &list[T]{"array", v}
}

type form struct {
	Rel       []string `json:"rel"`
	Name      string   `json:"name"`
	RelatesTo []string `json:"relatesTo,omitempty"`
	Href      string   `json:"href"`
	Method    string   `json:"method"`
	Produces  string   `json:"produces,omitempty"`
	Value     []field  `json:"value"`
	Accepts   string   `json:"accepts"`
}

type field struct {
	Name     string         `json:"name"`
	Label    string         `json:"label,omitempty"`
	Type     string         `json:"type,omitempty"`
	Required *bool          `json:"required,omitempty"`
	Secret   bool           `json:"secret,omitempty"`
	Value    any            `json:"value,omitempty"`
	Visible  *bool          `json:"visible,omitempty"`
	Mutable  *bool          `json:"mutable,omitempty"`
	Form     *fields        `json:"form,omitempty"`
	Options  []option       `json:"options,omitempty"`
	Messages *list[message] `json:"messages,omitempty"`
}

type fields struct {
	Value []field `json:"value"`
}

type option struct {
	Label     string `json:"label"`
	Value     any    `json:"value"` // a string, or a nested form
	RelatesTo string `json:"relatesTo,omitempty"`
}

type nested struct {
	Form fields `json:"form"`
}

type message struct {
	Message string `json:"message"`
	I18n    i18n   `json:"i18n"`
	Class   string `json:"class"`
}

type i18n struct {
	Key    string    `json:"key"`
	Params *[]string `json:"params,omitempty"`
}

type authenticator struct {
	Recover     *form             `json:"recover,omitempty"`
	Resend      *form             `json:"resend,omitempty"`
	Profile     map[string]string `json:"profile,omitempty"`
	Type        string            `json:"type"`
	Key         string            `json:"key"`
	ID          string            `json:"id"`
	DisplayName string            `json:"displayName"`
	Methods     []method          `json:"methods"`
}

type method struct {
	Type string `json:"type"`
}

type user struct {
	ID         string `json:"id,omitempty"`
	Identifier string `json:"identifier"`
}

type app struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	ID    string `json:"id"`
}

var (
	yes = ptr(true)
	no  = ptr(false)
)

func ptr[T any](v T) *T { return &v }
