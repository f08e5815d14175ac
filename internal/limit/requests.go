package limit

import "time"

// Requests are the numbers of requests in general (S-52). A window that is zero limits nothing.
type Requests struct {
	PerHandle  Window // of one state handle
	PerAddress Window // from one source, on IDX
	PerClient  Window // of one client from one source, on authorize
	PerCode    Window // of codes that one person types, or one source, to let a device in
}

// DefaultRequests are the production numbers.
func DefaultRequests() Requests {
	return Requests{
		PerHandle:  Window{10, 5 * time.Second},
		PerAddress: Window{600, time.Minute},
		PerClient:  Window{60, time.Minute},
		PerCode:    Window{20, 10 * time.Minute},
	}
}

// A Reading is what a meter shows after a request.
type Reading struct {
	OK    bool
	Limit int
	Reset time.Duration // until the window ends
}
