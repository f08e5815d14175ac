// Package limit owns the arithmetic of limits: how many, how long, how soon again.
//
// The numbers are plain values here; counting is done by the store in conditional statements, and
// what a refusal looks like is the caller's business.
package limit

import "time"

// Codes are the numbers of one-time codes (S-08 to S-10, S-14).
type Codes struct {
	Lifetime  time.Duration // never more than 10 minutes
	Tries     int           // wrong answers per code
	Resend    time.Duration // between two messages to one number, whatever the flow
	Renew     time.Duration // with less than this left a resend makes a new code
	PerFactor int           // wrong codes without a success before the factor is suspended
	HardStop  int           // wrong codes without a success before it stays suspended
}

// DefaultCodes are the production numbers.
func DefaultCodes() Codes {
	return Codes{Lifetime: 5 * time.Minute, Tries: 5, Resend: 30 * time.Second, Renew: time.Minute, PerFactor: 10, HardStop: 100}
}

// Forever stands for a suspension that only an administrator ends.
const Forever = 100 * 365 * 24 * time.Hour

// Suspension returns how long a factor rests after this many wrong codes in a row; zero means not at
// all. 15 minutes after the tenth, doubling with each ten more up to a day, for good at HardStop (S-10).
func (c Codes) Suspension(failures int) time.Duration {
	switch {
	case c.PerFactor <= 0 || failures <= 0 || failures%c.PerFactor != 0:
		return 0
	case failures >= c.HardStop:
		return Forever
	}
	d := 15 * time.Minute
	for n := failures / c.PerFactor; n > 1 && d < 24*time.Hour; n-- {
		d *= 2
	}
	return min(d, 24*time.Hour)
}

// Flow is how long an unfinished sign-in lives (S-18, S-23).
type Flow struct {
	Idle, Absolute time.Duration
	Code           time.Duration // interaction code
	Repeat         time.Duration // the very same last answer is answered again
}

// Recent is how old a complete sign-in may be for a change to one's account that matters (S-04, S-38), and Changing
// how long such a change may take once it is begun.
const (
	Recent   = 5 * time.Minute
	Changing = 10 * time.Minute
)

// Session is how long somebody stays signed in in a browser (S-40).
type Session struct {
	Idle, Absolute time.Duration
}

// DefaultSession are the production numbers.
func DefaultSession() Session { return Session{Idle: time.Hour, Absolute: 24 * time.Hour} }

// Expires is when a session ends unless it is seen again.
func (l Session) Expires(created, seen time.Time) time.Time {
	idle, absolute := seen.Add(l.Idle), created.Add(l.Absolute)
	if absolute.Before(idle) {
		return absolute
	}
	return idle
}

// DefaultFlow are the production numbers.
func DefaultFlow() Flow {
	return Flow{Idle: time.Hour, Absolute: 2 * time.Hour, Code: time.Minute, Repeat: 10 * time.Second}
}
