package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

// A disk lies below SQLite and knows what would be left if the power failed now: everything that was synced,
// and of what was written since any part. It stands in front of SQLite's own file layer, which goes on
// working; a sqlite3_vfs whose xOpen hands out files with xWrite, xTruncate and xSync of ours.
type disk struct {
	mu    sync.Mutex
	files map[string]*image
	open  map[uintptr]*openFile // by sqlite3_file

	fuse int    // so many changes from now the power fails
	blow func() // what is done then
}

// An image is one file on the disk.
type image struct {
	synced []byte
	since  []change
}

// A change is bytes at a place, or a new length.
type change struct {
	at       int64
	bytes    []byte
	truncate bool
}

func (c change) apply(data []byte) []byte {
	end := c.at + int64(len(c.bytes))
	if c.truncate {
		end = c.at
	}
	if int64(len(data)) < end {
		data = append(data, make([]byte, end-int64(len(data)))...)
	}
	if c.truncate {
		return data[:end]
	}
	copy(data[c.at:], c.bytes)
	return data
}

type openFile struct {
	name    string
	methods *lib.Tsqlite3_io_methods // SQLite's own
}

// theDisk is one for the process, because SQLite's file layers are.
var theDisk = &disk{files: map[string]*image{}, open: map[uintptr]*openFile{}}

const diskName = "powerless"

// at makes a C pointer one of Go's. What it points to is C's and does not move.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// pointer is how SQLite's translation to Go calls a function by its address.
func pointer(f any) uintptr { return (*[2]uintptr)(unsafe.Pointer(&f))[1] }

func function[F any](p uintptr) F {
	held := &struct{ p uintptr }{p}
	return *(*F)(unsafe.Pointer(held))
}

// register makes the layer known to SQLite.
var register = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	own := lib.Xsqlite3_vfs_find(tls, 0)
	layer := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_vfs{})))
	name, err := libc.CString(diskName)
	if err != nil {
		return err
	}
	v := at[lib.Tsqlite3_vfs](layer)
	*v = *at[lib.Tsqlite3_vfs](own)
	v.FpNext, v.FzName, v.FxOpen, v.FxDelete = 0, name, pointer(diskOpen), pointer(diskDelete)
	if rc := lib.Xsqlite3_vfs_register(tls, layer, 0); rc != lib.SQLITE_OK {
		return fmt.Errorf("registering a file layer: %d", rc)
	}
	return nil
})

func diskOpen(tls *libc.TLS, _, name, file uintptr, flags int32, out uintptr) int32 {
	own := lib.Xsqlite3_vfs_find(tls, 0)
	open := function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](at[lib.Tsqlite3_vfs](own).FxOpen)
	rc := open(tls, own, name, file, flags, out)
	if rc != lib.SQLITE_OK || flags&(lib.SQLITE_OPEN_MAIN_DB|lib.SQLITE_OPEN_WAL|lib.SQLITE_OPEN_MAIN_JOURNAL) == 0 {
		return rc
	}
	f := at[lib.Tsqlite3_file](file)
	theDisk.opened(file, libc.GoString(name), at[lib.Tsqlite3_io_methods](f.FpMethods))
	methods := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	m := at[lib.Tsqlite3_io_methods](methods)
	*m = *at[lib.Tsqlite3_io_methods](f.FpMethods)
	m.FxWrite, m.FxTruncate, m.FxSync = pointer(diskWrite), pointer(diskTruncate), pointer(diskSync)
	f.FpMethods = methods
	return rc
}

// diskDelete forgets a file at once. SQLite deletes one here only while it makes the database, and syncs the directory.
func diskDelete(tls *libc.TLS, _, name uintptr, sync int32) int32 {
	own := lib.Xsqlite3_vfs_find(tls, 0)
	theDisk.mu.Lock()
	delete(theDisk.files, libc.GoString(name))
	theDisk.mu.Unlock()
	return function[func(*libc.TLS, uintptr, uintptr, int32) int32](at[lib.Tsqlite3_vfs](own).FxDelete)(tls, own, name, sync)
}

func diskWrite(tls *libc.TLS, file, from uintptr, n int32, offset int64) int32 {
	bytes := append([]byte(nil), unsafe.Slice(at[byte](from), n)...)
	own := theDisk.change(file, change{at: offset, bytes: bytes})
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](own.FxWrite)(tls, file, from, n, offset)
}

func diskTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	own := theDisk.change(file, change{at: size, truncate: true})
	return function[func(*libc.TLS, uintptr, int64) int32](own.FxTruncate)(tls, file, size)
}

func diskSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	own, upTo := theDisk.syncing(file)
	rc := function[func(*libc.TLS, uintptr, int32) int32](own.FxSync)(tls, file, flags)
	if rc == lib.SQLITE_OK {
		theDisk.synced(file, upTo)
	}
	return rc
}

func (d *disk) opened(file uintptr, name string, own *lib.Tsqlite3_io_methods) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[file] = &openFile{name, own}
	if d.files[name] == nil {
		data, _ := os.ReadFile(name) // a new file is empty
		d.files[name] = &image{synced: data}
	}
}

func (d *disk) change(file uintptr, c change) *lib.Tsqlite3_io_methods {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.open[file]
	i := d.files[f.name]
	i.since = append(i.since, c)
	if d.blow != nil {
		if d.fuse--; d.fuse <= 0 {
			d.blow()
			d.blow = nil
		}
	}
	return f.methods
}

func (d *disk) syncing(file uintptr) (own *lib.Tsqlite3_io_methods, upTo int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.open[file]
	return f.methods, len(d.files[f.name].since)
}

// synced makes durable what was written before the sync began.
func (d *disk) synced(file uintptr, upTo int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.files[d.open[file].name]
	upTo = min(upTo, len(i.since)) // another connection's sync may have been quicker
	for _, c := range i.since[:upTo] {
		i.synced = c.apply(i.synced)
	}
	i.since = i.since[upTo:]
}

// sector is what a disk writes whole or not at all.
const sector = 512

// after is what is left in a directory if the power fails so many changes from now: in the midst of writing.
func (d *disk) after(changes int, dir string) (left map[string][]byte, lost int) {
	blown := make(chan struct{})
	d.mu.Lock()
	d.fuse, d.blow = changes, func() {
		left, lost = d.left(dir)
		close(blown)
	}
	d.mu.Unlock()
	<-blown
	return left, lost
}

func (d *disk) left(dir string) (left map[string][]byte, lost int) {
	left = map[string][]byte{}
	for name, i := range d.files {
		if filepath.Dir(name) != dir {
			continue
		}
		data := append([]byte(nil), i.synced...)
		for _, c := range i.since {
			switch rand.N(3) {
			case 0:
				lost++
				continue
			case 1:
				data = c.apply(data)
				continue
			}
			if c.truncate {
				continue
			}
			lost++
			for from := 0; from < len(c.bytes); from += sector { // torn: some of its sectors, in any order
				if rand.N(2) == 0 {
					part := c.bytes[from:min(from+sector, len(c.bytes))]
					data = change{at: c.at + int64(from), bytes: part}.apply(data)
				}
			}
		}
		left[filepath.Base(name)] = data
	}
	return left, lost
}

// powerless opens a database on the disk that remembers. It checkpoints often, for that is when the file itself is written.
func powerless(t *testing.T) (store.DB, string) {
	t.Helper()
	if err := register(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := secure(dir); err != nil {
		t.Fatal(err)
	}
	connector, err := sqlite.NewConnector(dsn(filepath.Join(dir, File), time.Second) + "&vfs=" + diskName + "&_pragma=wal_autocheckpoint(25)")
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	if _, err := sqlstore.Prepare(ctx, pool, dialect, nil); err != nil {
		t.Fatal(err)
	}
	pool.SetMaxIdleConns(0)
	e := &engine{db: pool, pool: newPool(pool, readers), writer: newWriter(pool)}
	t.Cleanup(func() { e.Close() })
	return over(t, e), dir
}

// failures are how often the power fails.
const failures = 15

// TestS76_PowerLoss pulls the plug while sign-ins are written: what was acknowledged is there, what was used stays used,
// and the file is whole.
func TestS76_PowerLoss(t *testing.T) {
	db, dir := powerless(t)
	if err := db.Update(ctx, func(tx store.Tx) error { return tx.AddChallenge(ctx, store.Challenge{ID: "chl1"}) }); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var acknowledged []string
	tries := 0
	stop, end := context.WithCancel(ctx)
	var gate sync.RWMutex // closed while we look, or there would be ever more to look at
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; stop.Err() == nil; i++ {
				id := fmt.Sprintf("w%d-%d", w, i)
				gate.RLock()
				counted, err := visit(db, id)
				gate.RUnlock()
				if err != nil {
					t.Errorf("writing: %v", err) // and go on: somebody waits for something to be written
					continue
				}
				mu.Lock()
				acknowledged = append(acknowledged, id)
				tries = max(tries, counted)
				mu.Unlock()
			}
		})
	}
	lost := 0
	for round := range failures {
		theDisk.after(30+rand.N(60), dir) // some commits between two failures
		mu.Lock()
		told, counted := append([]string(nil), acknowledged...), tries
		mu.Unlock()
		left, gone := theDisk.after(1+rand.N(20), dir)
		lost += gone
		gate.Lock()
		inspect(t, round, left, told, counted)
		gate.Unlock()
		if t.Failed() {
			break
		}
	}
	end()
	writers.Wait()
	if lost == 0 {
		t.Error("the power failed again and again, and not a write was lost")
	}
	t.Logf("%d visits, %d writes lost or torn", len(acknowledged), lost)
}

// visit makes a user with a code, spends the code and counts a try.
func visit(db store.DB, id string) (tries int, err error) {
	if err := db.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddUser(ctx, ident.User{ID: ident.UserID(id), Login: id}); err != nil {
			return err
		}
		return tx.AddCode(ctx, store.Code{Digest: codeOf(id), Redirect: strings.Repeat("x", rand.N(3000))})
	}); err != nil {
		return 0, err
	}
	err = db.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.SpendCode(ctx, codeOf(id), time.Unix(1, 0)); err != nil {
			return err
		}
		c, err := tx.CountTry(ctx, "chl1", 1<<30)
		tries = c.Tries
		return err
	})
	return tries, err
}

func codeOf(id string) secret.Digest { return secret.DigestOf("power", id) }

// inspect opens what a power failure has left and compares it with what was acknowledged before.
func inspect(t *testing.T, round int, left map[string][]byte, told []string, tries int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), fmt.Sprint(round))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range left {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := open(ctx, dir, time.Second)
	if err != nil {
		t.Errorf("round %d: it does not open: %v", round, err)
		return
	}
	defer e.Close()
	if err := e.View(ctx, func(q sqlstore.Querier) error {
		whole, err := ask(q, `PRAGMA integrity_check`)
		if whole != "ok" {
			t.Errorf("round %d: the file is not whole: %s", round, whole)
		}
		return err
	}); err != nil {
		t.Errorf("round %d: %v", round, err)
		return
	}
	db := over(t, e)
	if err := db.View(ctx, func(tx store.Tx) error {
		for _, id := range told {
			if _, err := tx.User(ctx, ident.UserID(id)); err != nil {
				t.Errorf("round %d: user %s was acknowledged: %v", round, id, err)
			}
		}
		c, err := tx.Challenge(ctx, "chl1")
		if c.Tries < tries {
			t.Errorf("round %d: %d tries are left of %d", round, c.Tries, tries)
		}
		return err
	}); err != nil {
		t.Errorf("round %d: %v", round, err)
	}
	for _, id := range told {
		err := db.Update(ctx, func(tx store.Tx) error {
			c, err := tx.SpendCode(ctx, codeOf(id), time.Unix(2, 0))
			if err == nil || c.Used.Unix() != 1 {
				t.Errorf("round %d: code %s was used and is good again", round, id)
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			t.Errorf("round %d: %v", round, err)
		}
	}
}

var errUndo = errors.New("not to be kept")
