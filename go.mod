module latchkey.dev

go 1.26.0

// Releases are made with this one and no other: another compiler makes other bytes.
toolchain go1.26.8

// Each with its reason. idx has none.
require (
	github.com/alecthomas/kong v1.17.0 // the command line of cmd/latchkey
	github.com/go-crypt/crypt v0.4.15 // password hashes that other systems made
	github.com/go-jose/go-jose/v4 v4.1.8 // JOSE: being wrong is dangerous
	github.com/jackc/pgx/v5 v5.12.0 // the PostgreSQL driver
	github.com/nyaruka/phonenumbers v1.8.1 // which numbers there are, in every country
	github.com/pressly/goose/v3 v3.29.0 // migrations, locked and versioned
	github.com/prometheus/client_golang v1.25.0 // metrics, in the form that everybody scrapes
	github.com/wneessen/go-mail v0.8.1 // SMTP and MIME: notices by e-mail
	go.opentelemetry.io/otel v1.47.0 // traces: the API that rooms speak
	go.opentelemetry.io/otel/sdk v1.47.0 // and how they are made, in cmd alone
	go.opentelemetry.io/otel/trace v1.47.0 // spans of that API
	golang.org/x/crypto v0.58.0 // Argon2id
	golang.org/x/text v0.43.0 // PRECIS and Unicode normalisation of names and passwords
	modernc.org/sqlite v1.61.1 // the SQLite driver, without cgo
)

// For tests alone.
require github.com/coreos/go-oidc/v3 v3.21.0 // an independent relying party that verifies our tokens

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/go-crypt/x v0.4.17 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mfridman/interpolate v0.0.2 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/sethvargo/go-retry v0.5.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)
