//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// A process is one that we started and may look at.
type process struct {
	cmd *exec.Cmd
	out *bufio.Reader // its standard output
	in  io.WriteCloser
	err bytes.Buffer
}

func launch(program string, arg ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, arg...)}
	p.cmd.Stderr = &p.err
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.out, p.in = bufio.NewReader(stdout), stdin
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nobody is left behind
	return p, p.cmd.Start()
}

// stop asks the process to end and waits until it has.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended: Wait says how
	late := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	err := p.cmd.Wait()
	if exit, ok := err.(*exec.ExitError); ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.err.String())
	}
	return nil
}

// cpu is the time that all threads of the process, ended ones included, have run: clock_gettime on the
// process's own clock (clock_getcpuclockid(3)), in nanoseconds and not in ticks as in /proc/PID/stat.
func (p *process) cpu() time.Duration {
	const scheduler = 2 // CPUCLOCK_SCHED
	var t syscall.Timespec
	clock := uintptr(uint32(^int32(p.cmd.Process.Pid))<<3 | scheduler)
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		panic("bench: the process whose CPU is read has ended: " + errno.Error() + ": " + p.err.String())
	}
	return time.Duration(t.Nano())
}

// resident is the memory that the process holds now, and the most that it held since forgetPeak.
func (p *process) resident() (now, peak mebibytes, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kB, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch name {
		case "VmRSS":
			now = mebibytes(kB / 1024)
		case "VmHWM":
			peak = mebibytes(kB / 1024)
		}
	}
	return now, peak, nil
}

func (p *process) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}

// A share is how much of the machine others used while we measured.
type share struct {
	busy, all, ours float64 // ticks
	cores           int
	others          float64 // of the machine, once stopped
}

func newShare() *share {
	s := &share{}
	s.busy, s.all, s.cores = machine()
	s.ours = family()
	return s
}

func (s *share) stop() {
	busy, all, _ := machine()
	if all > s.all {
		s.others = max(0, ((busy-s.busy)-(family()-s.ours))/(all-s.all))
	}
}

func (s *share) String() string {
	return fmt.Sprintf("%d cores, of which other programs used %.0f %% meanwhile", s.cores, 100*s.others)
}

// machine reads the first lines of /proc/stat: ticks in which any core worked, and all ticks.
func machine() (busy, all float64, cores int) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, 0
	}
	for line := range strings.Lines(string(stat)) {
		f := strings.Fields(line)
		if !strings.HasPrefix(f[0], "cpu") {
			break
		}
		if f[0] != "cpu" {
			cores++
			continue
		}
		for i, ticks := range f[1:9] { // what guests used is in user time
			n, _ := strconv.ParseFloat(ticks, 64)
			all += n
			if i != 3 && i != 4 { // idle, waiting for a disk
				busy += n
			}
		}
	}
	return busy, all, cores
}

// family is the ticks of this process and of those it has waited for.
func family() float64 {
	const tick = time.Second / 100
	return float64(cpuOf(syscall.RUSAGE_SELF)+cpuOf(syscall.RUSAGE_CHILDREN)) / float64(tick)
}

// cpuOf is the CPU that this process used, or those it has waited for.
func cpuOf(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0 // nobody else can be meant
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
