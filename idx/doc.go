// Package idx signs people in against an engine that speaks Okta's Identity Engine protocol (IDX and
// the interaction code flow): Latchkey itself, or an Okta org.
//
// A sign-in is a [Transaction]. [Client.Authenticate] starts one, and each further call takes one and
// returns the next; none ever changes. A transaction says what the engine wants now ([Transaction.NextStep]),
// and the application answers it, by friendly names with [Client.Continue] or by the protocol's own
// names with [Client.Proceed]. What the engine refuses comes back as a [RejectedError] that carries the
// transaction the person stands at now. A successful one is turned into verified tokens by [Client.Exchange].
//
// A [Client] knows nothing about any person and may serve all of them at once. Between two web requests
// a transaction lives where the application puts it: in a cookie ([Sealer]) or in a session on the server
// ([Transaction.Snapshot]). The package uses the standard library alone and reads neither files nor environment,
// except for the proxy settings that net/http reads.
package idx
