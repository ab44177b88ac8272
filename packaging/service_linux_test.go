package packaging

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checkService starts what the unit starts, as whom and with what it does, and speaks to it as systemd does: on a loopback interface
// of its own, with the state in the root.
func checkService(t *testing.T, r *root, uid int) {
	t.Helper()
	for _, program := range []string{"unshare", "setpriv", "ip"} {
		if lacks(t, program) {
			return
		}
	}
	if out, err := try(t, nil, "unshare", "--net", "ip", "link", "set", "lo", "up"); err != nil {
		if strings.Contains(os.Getenv("WEIR_REQUIRE"), "live") {
			t.Fatalf("%v: %s", err, out)
		}
		t.Logf("NOT CHECKED: the service, for want of network namespaces: %s", out)
		return
	}
	unit := r.read("usr/lib/systemd/system/weir.service")
	setting := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(unit)
		if m == nil {
			t.Fatalf("the unit has no %s", name)
		}
		return m[1]
	}
	if setting("User") != "weir" || setting("NoNewPrivileges") != "yes" || setting("Type") != "notify" {
		t.Fatalf("this test knows nothing of such a unit:\n%s", unit)
	}
	capabilities := func(name string) string {
		set := "-all"
		for _, c := range strings.Fields(setting(name)) {
			set += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
		}
		return set
	}
	ambient := capabilities("AmbientCapabilities")
	args := []string{"--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh",
		"setpriv", fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", uid), "--clear-groups", "--no-new-privs",
		"--bounding-set=" + capabilities("CapabilityBoundingSet"), "--inh-caps=" + ambient, "--ambient-caps=" + ambient}
	for _, word := range strings.Fields(setting("ExecStart")) {
		if strings.HasPrefix(word, "/") {
			word = r.path(word)
		}
		args = append(args, word)
	}
	state := "var/lib/weir/"
	args = append(args, "--set", "interface=lo", "--set", "http=127.0.0.1:0", "--set", "models="+r.path(state+"models"),
		"--set", "store="+r.path(state+"history"), "--set", "http-token="+r.path(state+"token"))

	dir, err := os.MkdirTemp("", "weir") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(socket, 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Dir = r.path(state)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=2000000")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cmd.Process.Kill() }()
	await := func(what string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for buf := make([]byte, 1<<16); ; {
			told.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, err := told.Read(buf)
			for line := range strings.SplitSeq(string(buf[:n]), "\n") {
				if line == what {
					return
				}
			}
			select {
			case err := <-ended:
				t.Fatalf("weir ended before it told %s: %v\n%s", what, err, log.String())
			default:
			}
			if err != nil && time.Now().After(deadline) {
				t.Fatalf("weir does not tell %s", what)
			}
		}
	}
	await("READY=1")
	await("WATCHDOG=1")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", uid)} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("the service is not %q:\n%s", want, status)
		}
	}
	cmd.Process.Signal(syscall.SIGHUP)
	await("READY=1")
	cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("the service ended with %v\n%s", err, log.String())
	}
	r.want(true, state+"history/weir.db", state+"token")

	// The watchdog's SIGABRT, which Go takes as it does a panic, must not end as wrong usage does: the service would not be started again.
	if setting("RestartPreventExitStatus") != "2" {
		t.Fatal("this test knows nothing of such exit statuses")
	}
	crash := exec.CommandContext(t.Context(), r.path("usr/bin/weir"), "run", "-r", "-")
	crash.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, setting("Environment"))
	input, err := crash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	if err := crash.Start(); err != nil {
		t.Fatal(err)
	}
	await("READY=1")
	crash.Process.Signal(syscall.SIGABRT)
	crash.Wait()
	if got := crash.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != syscall.SIGABRT {
		t.Errorf("a crash ends with %v", crash.ProcessState)
	}
	if err := os.RemoveAll(r.path(state + "history")); err != nil {
		t.Fatal(err)
	}
}
