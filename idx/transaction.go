package idx

import (
	"encoding/json"
	"time"
)

// A Transaction is one snapshot of one sign-in. It never changes: each call on a [Client] returns the next one.
type Transaction struct{ doc *snapshot }

type snapshot struct{}

// Status says how a transaction stands.
type Status string

const (
	StatusPending  Status = "PENDING"  // something is asked: see NextStep
	StatusSuccess  Status = "SUCCESS"  // there is an interaction code to exchange
	StatusTerminal Status = "TERMINAL" // nothing more can be done here; Messages say why
	StatusCanceled Status = "CANCELED"
	StatusParked   Status = "PARKED" // opened by a Sealer; the next call reads it first
)

// Status says how the transaction stands.
func (t *Transaction) Status() Status { return "" }

// NextStep is the step that the engine lists first; nil if there is none.
func (t *Transaction) NextStep() *NextStep { return nil }

// Steps are all steps on offer: first the forms in the engine's order, then the actions beside them, by name.
func (t *Transaction) Steps() []*NextStep { return nil }

// Step finds a step by its wire name.
func (t *Transaction) Step(name string) (*NextStep, bool) { return nil, false }

// Messages are all messages of the document, those of single fields included.
func (t *Transaction) Messages() []Message { return nil }

// Unused names the answers that the last Continue found no use for.
func (t *Transaction) Unused() []string { return nil }

// State tells the sign-ins of one browser apart: put it in the cookie's name or the session's key.
func (t *Transaction) State() string { return "" }

// ExpiresAt is when the engine forgets the transaction, as far as it has said.
func (t *Transaction) ExpiresAt() time.Time { return time.Time{} }

// Intent is what the engine takes the person to be doing: LOGIN, ENROLL_NEW_USER, CREDENTIAL_RECOVERY and so on.
func (t *Transaction) Intent() string { return "" }

// Identifier is the name the person signs in with, once the engine shows it.
func (t *Transaction) Identifier() string { return "" }

// App is the display name of the application that is signed in to, if the engine gives it.
func (t *Transaction) App() string { return "" }

// InteractionCode is present on success. Exchange spends it; hand it on only if something else redeems it.
func (t *Transaction) InteractionCode() string { return "" }

// Raw is the engine's document. It holds handles: do not log it.
func (t *Transaction) Raw() json.RawMessage { return nil }

// Snapshot is everything, in clear, for a session kept on the server. Restore reads it back without a request.
func (t *Transaction) Snapshot() ([]byte, error) { return nil, errUnfinished }

// Restore reads what Snapshot wrote.
func Restore(snapshot []byte) (*Transaction, error) { return nil, errUnfinished }
