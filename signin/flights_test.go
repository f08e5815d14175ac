package signin

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The script lets a form be sent again when no answer came for a while. A click at that moment, or some time later, gets
// the answer that was lost; only much later it is another form.
func TestTheSameFormAgainGetsTheAnswerThatWasLost(t *testing.T) {
	script, err := os.ReadFile("assets/signin.js")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`const again = ([0-9_]+);`).FindSubmatch(script)
	if found == nil {
		t.Fatal("the script does not say when a form may be sent again")
	}
	ms, err := strconv.Atoi(strings.ReplaceAll(string(found[1]), "_", ""))
	if err != nil || ms == 0 {
		t.Fatal(ms, err)
	}
	again := time.Duration(ms) * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		var f flights
		done := 0
		send := func() string {
			w := httptest.NewRecorder()
			f.once("form", w, func(w http.ResponseWriter) {
				done++
				w.Header().Set("Location", "/"+strconv.Itoa(done))
				w.WriteHeader(http.StatusSeeOther)
			})
			return w.Header().Get("Location")
		}
		first := send()
		for range 2 { // at the moment when it may be sent again, and as long after that
			time.Sleep(again)
			synctest.Wait()
			if got := send(); got != first || done != 1 {
				t.Errorf("sent again it is answered %s, done %d times", got, done)
			}
		}
		time.Sleep(linger)
		synctest.Wait()
		if got := send(); got == first || done != 2 {
			t.Errorf("later it is answered %s, done %d times", got, done)
		}
		time.Sleep(linger)
		synctest.Wait()
		if len(f.going) > 0 {
			t.Errorf("%d answers are kept", len(f.going))
		}
	})
}
