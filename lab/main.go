//go:build linux

// Command lab makes weir's sample captures: real servers and real clients in network
// namespaces, recorded with the names of the programs as labels.
//
//	sh lab/install.sh            # the programs, on Debian
//	go run ./lab record -o DIR   # about 20 minutes, as root
//
// What it writes, and what it cuts, stands in samples/README.md; how the lab is built in
// lab/README.md. Every process, address and file of the lab lives in namespaces of its own that
// end with it, and there is no way out of its network.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// inside is the first argument of the copy of this program that runs in the namespaces.
const inside = "record-inside"

func main() {
	log.SetFlags(log.Ltime)
	if len(os.Args) < 2 || os.Args[1] != "record" && os.Args[1] != inside {
		fmt.Fprintln(os.Stderr, "usage: lab record -o DIR [flags]")
		os.Exit(2)
	}
	var plan Plan
	flags := flag.NewFlagSet("lab record", flag.ExitOnError)
	flags.StringVar(&plan.Dir, "o", "", "directory to write to, not under /run, /srv, /var/log or /var/spool")
	flags.IntVar(&plan.Rounds, "rounds", 9, "captures of each application; 0 leaves them out")
	flags.DurationVar(&plan.Normal, "normal", 10*time.Minute+20*time.Second, "length of the normal traffic; 0 leaves it out")
	flags.DurationVar(&plan.Demo, "demo", 4*time.Minute, "length of the demo, at least 3m; 0 leaves it out")
	flags.BoolVar(&plan.Tiny, "tiny", true, "record the tiny capture")
	flags.Uint64Var(&plan.Seed, "seed", 77, "of what clients do and when")
	flags.Parse(os.Args[2:])
	if plan.Dir == "" || flags.NArg() > 0 || plan.Demo != 0 && plan.Demo < 3*time.Minute {
		flags.Usage()
		os.Exit(2)
	}
	run := plan.Record
	if os.Args[1] == "record" {
		run = isolate
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// isolate runs this program again as the first process of new namespaces: when it ends, the
// kernel ends all that it started and drops the networks and mounts.
func isolate() error {
	cmd := exec.Command("/proc/self/exe", append([]string{inside}, os.Args[2:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("make namespaces, as root: %w", err)
	}
	return cmd.Wait()
}

// furnish gives the namespaces their name and empty places for everything that the lab's
// programs write, and leaves in dir the lab's own configuration.
func furnish(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, place := range []string{"/run", dir, "/var/log", "/var/spool"} {
		if err := syscall.Mount("tmpfs", place, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount %s: %w", place, err)
		}
	}
	if err := syscall.Sethostname([]byte("host.lab.example")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := os.CopyFS(dir, conf); err != nil {
		return fmt.Errorf("copy configuration: %w", err)
	}
	hosts := filepath.Join(dir, "conf/hosts")
	if err := syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount /etc/hosts: %w", err)
	}
	return syscall.Mount("/dev/null", "/etc/resolv.conf", "", syscall.MS_BIND, "")
}
