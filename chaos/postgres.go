//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// A cluster is one PostgreSQL of our own: a directory, and a server on it that can be killed.
type cluster struct {
	bin   string
	dir   string // the data directory
	addr  string
	owner *syscall.Credential // nil: ourselves
	*process
}

// errNoPostgres skips what needs one.
var errNoPostgres = errors.New("no PostgreSQL is installed here")

// postgresBin finds the programs of PostgreSQL.
func postgresBin() (string, error) {
	if found, err := exec.LookPath("initdb"); err == nil {
		if found, err = filepath.EvalSymlinks(found); err == nil {
			return filepath.Dir(found), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errNoPostgres
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// owner is whom PostgreSQL runs as: it refuses to run as root.
func owner() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"latchkey-test", "postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is nobody else here")
}

// lend makes a directory that belongs to whoever runs PostgreSQL.
func lend(dir string, to *syscall.Credential) error {
	if err := os.Mkdir(dir, 0o700); err != nil || to == nil {
		return err
	}
	return os.Chown(dir, int(to.Uid), int(to.Gid))
}

// settings are those of every cluster. What is acknowledged is durable, as an operator would have it.
const settings = `
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 64MB
wal_level = replica
hot_standby = on
max_wal_senders = 4
wal_receiver_timeout = 5s
`

// newCluster makes a cluster and starts it.
func newCluster(parent, name, more string) (*cluster, error) {
	c, err := blankCluster(parent, name)
	if err != nil {
		return nil, err
	}
	if err := lend(c.dir, c.owner); err != nil {
		return nil, err
	}
	if out, err := c.tool("initdb", "-D", c.dir, "-U", "latchkey", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := c.configure(settings + more); err != nil {
		return nil, err
	}
	return c, c.start()
}

func blankCluster(parent, name string) (*cluster, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, dir: filepath.Join(parent, name)}
	if c.owner, err = owner(); err != nil {
		return nil, err
	}
	c.addr, err = freeAddr()
	return c, err
}

// standby makes a cluster that follows this one.
func (c *cluster) standby(name string) (*cluster, error) {
	s, err := blankCluster(filepath.Dir(c.dir), name)
	if err != nil {
		return nil, err
	}
	if err := lend(s.dir, s.owner); err != nil {
		return nil, err
	}
	basebackup, err := exec.LookPath("pg_basebackup")
	if err != nil {
		basebackup = filepath.Join(c.bin, "pg_basebackup")
	}
	host, port, _ := net.SplitHostPort(c.addr)
	out, err := s.run(basebackup, "-h", host, "-p", port, "-U", "latchkey", "-D", s.dir, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	return s, s.start()
}

// configure adds settings; the last of a name counts.
func (c *cluster) configure(text string) error {
	f, err := os.OpenFile(filepath.Join(c.dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func (c *cluster) tool(name string, arg ...string) ([]byte, error) {
	return c.run(filepath.Join(c.bin, name), arg...)
}

func (c *cluster) run(program string, arg ...string) ([]byte, error) {
	cmd := exec.Command(program, arg...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner}
	return cmd.CombinedOutput()
}

// start runs the server and waits until it takes connections. A server that was killed leaves its shared memory to
// children that have not noticed yet, so the first try may fail.
func (c *cluster) start() error {
	_, port, _ := net.SplitHostPort(c.addr)
	var err error
	for range 20 {
		cmd := exec.Command(filepath.Join(c.bin, "postgres"), "-D", c.dir, "-p", port, "-k", c.dir)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner}
		if c.process, err = launch(cmd); err != nil {
			return err
		}
		err = await(30*time.Second, "a connection to PostgreSQL", func() bool { return c.ended() || c.up() })
		if err == nil && !c.ended() {
			return nil
		}
		err = fmt.Errorf("PostgreSQL does not start: %w: %s", err, c.out)
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func (c *cluster) up() bool {
	pool, err := sql.Open("pgx", c.dsn())
	if err != nil {
		return false
	}
	defer pool.Close()
	ctx, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	return pool.PingContext(ctx) == nil
}

// kill ends the server and everything it has started, at once.
func (c *cluster) kill() {
	// Stopped first, so that it cannot start another child between our looking and our killing.
	_ = c.cmd.Process.Signal(syscall.SIGSTOP)
	for _, pid := range children(c.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	c.process.kill()
}

// promote makes a standby the primary.
func (c *cluster) promote() error {
	out, err := c.tool("pg_ctl", "-D", c.dir, "-w", "-t", "60", "promote")
	if err != nil {
		return fmt.Errorf("pg_ctl promote: %w: %s", err, out)
	}
	return nil
}

// exec runs a statement.
func (c *cluster) exec(query string) error {
	pool, err := sql.Open("pgx", c.dsn())
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.ExecContext(context.Background(), query)
	return err
}

// ask reads one value.
func (c *cluster) ask(query string, dest any) error {
	pool, err := sql.Open("pgx", c.dsn())
	if err != nil {
		return err
	}
	defer pool.Close()
	return pool.QueryRowContext(context.Background(), query).Scan(dest)
}

func (c *cluster) dsn() string { return dsnOf(url.Values{"sslmode": {"disable"}}, c) }

// dsnOf names several servers, of which whoever may be written to is the right one.
func dsnOf(q url.Values, all ...*cluster) string {
	var hosts []string
	for _, c := range all {
		hosts = append(hosts, c.addr)
	}
	return (&url.URL{Scheme: "postgres", User: url.User("latchkey"), Host: strings.Join(hosts, ","), Path: "/postgres", RawQuery: q.Encode()}).String()
}
