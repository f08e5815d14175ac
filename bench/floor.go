//go:build linux

package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// A floor is what no sign-in server can do without, in a process that does nothing else: a password hash,
// an answer to a GET, a signature (signing.go). It is this program, started with floorArg.

const floorArg = "floor"

// floor listens, says where on its standard output, and hashes as its standard input says: the number of
// workers, how many hashes, and for how many nanoseconds at most. It answers with the number of hashes.
func floor() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	go http.Serve(listener, bare())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var workers, count int
		var long time.Duration
		if _, err := fmt.Sscan(in.Text(), &workers, &count, &long); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(hashes(workers, count, long))
	}
}

// bareGet answers /N with N bytes of JSON's type.
func bareGet(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil || n > len(blank) {
		http.Error(w, "how many bytes?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(blank[:n])
}

var blank = make([]byte, 64<<10)

// hashes hashes with S-01's parameters.
func hashes(workers, count int, long time.Duration) int64 {
	var begun, done atomic.Int64
	late := time.Now().Add(long)
	salt := make([]byte, 16)
	rand.Read(salt)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for time.Now().Before(late) && begun.Add(1) <= int64(count) {
				argon2.IDKey([]byte("Correct-Horse-1"), salt, 2, 19*1024, 1, 32)
				done.Add(1)
			}
		})
	}
	all.Wait()
	return done.Load()
}

// A ground is a floor, seen from here.
type ground struct {
	*process
	addr string
}

func (b *bench) ground() (*ground, error) {
	p, err := launch(b.self, floorArg)
	if err != nil {
		return nil, err
	}
	g := &ground{process: p}
	_, err = fmt.Fscanln(p.out, &g.addr)
	return g, err
}

// hash returns how many hashes there were.
func (g *ground) hash(workers, count int, long time.Duration) (n int, err error) {
	if _, err = fmt.Fprintln(g.in, workers, count, int64(long)); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanln(g.out, &n)
	return n, err
}

// hashCost is the CPU of one hash.
func (g *ground) hashCost(batch int) (time.Duration, error) {
	before := g.cpu()
	n, err := g.hash(1, batch, time.Hour)
	if err != nil {
		return 0, err
	}
	return (g.cpu() - before) / time.Duration(n), nil
}
