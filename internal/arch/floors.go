package arch

// Floors is the plan, from the ground up. DESIGN decides; this says the same so that it can be checked.
var Floors = []Floor{
	{
		Name: "words", // what everybody speaks
		Rooms: []Room{
			{Path: "internal/msg"},
			{Path: "internal/secret"},
			{Path: "internal/ident", Beside: []string{"internal/secret"}}, // what an enrollment keeps must not print itself
			{Path: "internal/testkit", Own: true, Tests: true},
		},
		Never: []string{"net/http/...", "database/sql/..."},
	},
	{
		Name: "rules", // judgements over values
		Rooms: []Room{
			{Path: "internal/fault"},
			{Path: "internal/audit"},
			{Path: "internal/policy"},
			{Path: "internal/limit"},
			{Path: "internal/strict"}, // files that people write
			{Path: "internal/notice"},
			{Path: "internal/obs", Beside: []string{"internal/audit"}}, // a request's source is what events say of it
			{Path: "internal/gateway"},                                 // what carries a text, as an interface
		},
		Never: []string{"net/http/...", "database/sql/...", "os/..."},
	},
	{
		Name: "core", // the state machine, the rules of OAuth, the shape of an authenticator
		Rooms: []Room{
			{Path: "internal/flow", Beside: []string{"internal/oauth"}}, // a sign-in remembers the request it began with
			{Path: "internal/oauth"},
			{Path: "internal/authn"},
		},
		Pure: true,
	},
	{
		Name: "way out", // the calls of gateways, and what every gateway is held to
		Rooms: []Room{
			{Path: "internal/courier"},
			{Path: "internal/gateway/gatewaytest", Tests: true},
		},
		Never: []string{"database/sql/...", "internal/flow", "internal/oauth", "internal/authn/...", "os/..."},
	},
	{
		Name: "plug-ins", // one kind of proof, or one way to carry a message, each
		Rooms: []Room{
			{Path: "internal/authn/*"},
			{Path: "internal/gateway/*"},
		},
		Never: []string{"database/sql/...", "internal/flow", "internal/oauth", "internal/store/..."},
	},
	{
		Name:  "contract", // what is kept, and what keeping means
		Rooms: []Room{{Path: "internal/store"}},
		Never: []string{"net/http/...", "database/sql/...", "internal/authn/...", "internal/gateway/..."},
	},
	{
		Name: "SQL", // the contract in SQL, once; the contract as tests
		Rooms: []Room{
			{Path: "internal/store/sqlstore"},
			{Path: "internal/store/storetest", Tests: true},
		},
		Never: []string{"net/http/...", "github.com/jackc/pgx/...", "modernc.org/sqlite/...", "internal/gateway/..."},
	},
	{
		Name: "databases", // open, migrate, dialect
		Rooms: []Room{
			{Path: "internal/store/sqlite"},
			{Path: "internal/store/postgres"},
		},
		Never: []string{"net/http/...", "internal/authn/...", "internal/gateway/...", "internal/flow", "internal/oauth", "internal/policy"},
	},
	{
		Name: "services", // run a sign-in, keep sessions and keys, see messages out of the house
		Rooms: []Room{
			{Path: "internal/engine"},
			{Path: "internal/session"},
			{Path: "internal/device"},
			{Path: "internal/account", Beside: []string{"internal/engine", "internal/session"}}, // asks both on a person's behalf
			{Path: "internal/keys"},
			{Path: "internal/keyring"},
			{Path: "internal/deliver"},
			{Path: "internal/trail"},
			{Path: "internal/meter"},
			{Path: "internal/org", Beside: []string{"internal/keys"}}, // what applications sign with is judged there; changes what the others run on
		},
		Never: []string{"net/http/...", "database/sql/...", "internal/store/sqlstore", "internal/store/sqlite", "internal/store/postgres"},
	},
	{
		Name: "faces", // the wire, decoded and encoded
		Rooms: []Room{
			{Path: "internal/idxapi"},
			{Path: "internal/op"},
			{Path: "internal/admin"},
			{Path: "internal/receipts"},
		},
		Never: []string{
			"database/sql/...", "internal/store/sqlstore", "internal/store/sqlite", "internal/store/postgres",
			"internal/gateway/...",
		},
	},
	{
		Name:  "client", // beside the house: the SDK, which knows nothing of what is inside
		Rooms: []Room{{Path: "idx", Own: true}},
		Never: []string{"internal/..."},
	},
	{
		Name: "client's companions", // its record and replay kit, and the pages over it
		Rooms: []Room{
			{Path: "idx/idxtest", Own: true, Tests: true},
			{Path: "signin", Own: true},
		},
		Never: []string{"internal/..."},
	},
	{
		Name:  "sample application", // what somebody outside would build: over the client and its pages, and nothing of ours
		Rooms: []Room{{Path: "demo", Own: true}},
		Never: []string{"internal/..."},
	},
	{
		Name: "house", // mux, TLS, limits, stop; the config struct; what operators look at
		Rooms: []Room{
			{Path: "internal/server"},
			{Path: "internal/config"},
			{Path: "internal/metrics"},
			{Path: "internal/ops"},
		},
	},
	{
		Name:  "parts", // every room of a running server put together, the parts list
		Rooms: []Room{{Path: "internal/wire"}},
	},
	{
		Name:  "dev", // a house with an organisation and the sample application in it, and the means to play with them
		Rooms: []Room{{Path: "internal/dev"}},
	},
	{
		Name: "yard", // what stands on the whole house: the server in a test, programs for people to copy
		Rooms: []Room{
			{Path: "examples/*", Own: true}, // what a reader copies has to work without us
			{Path: "latchkeytest", Tests: true},
			{Path: "internal/arch"},
		},
	},
	{
		Name: "door", // commands, and the parts list
		Rooms: []Room{
			{Path: "cmd/latchkey"},
			{Path: "tools/release", Own: true}, // makes the archives out of all of it
			{Path: "bench"},                    // measures the command from outside, and seeds its database from below
			{Path: "chaos"},                    // breaks the command from outside, and seeds its database from below
		},
	},
}
