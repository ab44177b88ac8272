// Package packaging tests what weir is packed with: the Debian package, its service, rules and dashboard for Prometheus and Grafana.
package packaging

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// needs skips a test where a program is missing, and fails it where WEIR_REQUIRE, as in CI, names what wants it.
func needs(t *testing.T, what string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if strings.Contains(os.Getenv("WEIR_REQUIRE"), what) {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// lacks reports whether a program is missing that a part of a test asks, and says so.
func lacks(t *testing.T, program string) bool {
	t.Helper()
	_, err := exec.LookPath(program)
	if err == nil {
		return false
	}
	if strings.Contains(os.Getenv("WEIR_REQUIRE"), "deb") {
		t.Fatal(err)
	}
	t.Logf("NOT CHECKED: %v", err)
	return true
}

// command runs a program and returns all that it prints; it may not fail.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := try(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestVersions wants of every version of git a valid one of Debian, in the right order.
func TestVersions(t *testing.T) {
	needs(t, "deb", "dpkg")
	var before string
	for _, test := range []struct{ described, want string }{
		{"9a29009", "0~20261126003137.9a29009"},
		{"9a29009-dirty", "0~20261126003137.9a29009+dirty"},
		{"v1.2.3-rc.1", "1.2.3~rc.1"},
		{"v1.2.3-rc.1-4-gabcdef0", "1.2.3~rc.1+4.gabcdef0"},
		{"v1.2.3", "1.2.3"},
		{"v1.2.3-4-gabcdef0", "1.2.3+4.gabcdef0"},
		{"v1.2.3-4-gabcdef0-dirty", "1.2.3+4.gabcdef0+dirty"},
		{"v1.2.3-12-g0abcdef", "1.2.3+12.g0abcdef"},
		{"v1.2.4", "1.2.4"},
	} {
		got := strings.TrimSpace(command(t, []string{"SOURCE_DATE_EPOCH=1795653097"}, "./deb.sh", "version", test.described))
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.described, got, test.want)
		}
		command(t, nil, "dpkg", "--validate-version", got)
		if before != "" {
			command(t, nil, "dpkg", "--compare-versions", before, "lt", got)
		}
		before = got
	}
}

// root is a directory that packages are installed in as if it were a machine. Nothing is written outside of it: maintainer scripts
// run with DPKG_ROOT instead of chroot.
type root struct {
	t   *testing.T
	dir string
}

// newRoot makes a root in which dpkg believes systemd to be installed.
func newRoot(t *testing.T) *root {
	dir, err := os.MkdirTemp("", "weir-root-") // t.TempDir's lie in one that is root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &root{t, dir}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log", "etc"} {
		if err := os.MkdirAll(r.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("var/lib/dpkg/status", `Package: systemd
Status: install ok installed
Maintainer: nobody <nobody@localhost>
Architecture: `+runtime.GOARCH+`
Version: 252
Description: what the package depends on

`)
	return r
}

func (r *root) path(name string) string { return filepath.Join(r.dir, name) }

// dpkg runs dpkg on the root. Small machines leave out manual pages and documentation: not here.
func (r *root) dpkg(args ...string) string {
	r.t.Helper()
	return command(r.t, nil, "dpkg", append([]string{"--root=" + r.dir, "--force-script-chrootless", "--force-confdef", "--force-confold", "--path-include=/usr/share/*"}, args...)...)
}

func (r *root) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *root) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *root) want(there bool, names ...string) {
	r.t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(r.path(name)); (err == nil) != there {
			r.t.Errorf("%s: there: %v, want %v", name, err == nil, there)
		}
	}
}

// left returns what is left of weir, but for the user and what dpkg and systemd keep of any package.
func (r *root) left() (left []string) {
	err := filepath.WalkDir(r.dir, func(path string, _ fs.DirEntry, err error) error {
		if name := strings.TrimPrefix(path, r.dir); strings.Contains(name, "weir") {
			left = append(left, name)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return left
}

// uncompressed saves half a minute of xz.
const uncompressed = "COMPRESSION=none"

// build makes the package of a version and returns its file.
func build(t *testing.T, version string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-C", "..", "deb", "OUT=" + dir, "VERSION=" + version, "SOURCE_DATE_EPOCH=1795653097"}
	if !strings.Contains(os.Getenv("WEIR_REQUIRE"), "browser") {
		args = append(args, "NODE=") // no network for a test that need not have it
	}
	command(t, append(env, "MAKEFLAGS=", "MFLAGS=", uncompressed), "make", args...)
	return only(t, filepath.Join(dir, "*.deb"))
}

func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

// TestDeb builds the package, installs it in a root of its own, upgrades, removes and purges it.
func TestDeb(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector sees nothing of other programs")
	}
	needs(t, "deb", "dpkg", "dpkg-deb", "make", "git", "deb-systemd-helper", "systemd-sysusers", "systemd-tmpfiles", "systemctl")
	if os.Getuid() != 0 {
		if strings.Contains(os.Getenv("WEIR_REQUIRE"), "deb") {
			t.Fatal("this test needs root")
		}
		t.Skip("files that belong to others need root")
	}
	first := build(t, "v0.1.0")
	again := build(t, "v0.1.0", "TZ=Pacific/Chatham", "LANG=tr_TR.UTF-8", "TMPDIR="+t.TempDir())
	if a, b := read(t, first), read(t, again); !bytes.Equal(a, b) {
		t.Errorf("the same commit gives packages of %d and %d bytes that differ", len(a), len(b))
	}
	// The next version has another configuration; what is packed is the same otherwise.
	next := repack(t, again, "v0.2.0")

	r := newRoot(t)
	r.dpkg("--install", first)
	weir := r.path("usr/bin/weir")
	if out := command(t, nil, weir, "version"); !strings.HasPrefix(out, "weir v0.1.0\n") {
		t.Errorf("weir version:\n%s", out)
	}
	checkStatic(t, weir)
	if out := r.dpkg("--verify", "weir"); out != "" {
		t.Errorf("dpkg --verify:\n%s", out)
	}
	uid := checkUser(t, r)
	checkOwners(t, r, uid)
	checkPages(t, r)
	checkCompletions(t, r)
	checkUnit(t, r)
	if out := command(t, nil, weir, "config", "check", r.path("etc/weir/weir.yaml"), "--set", "interface=eth0"); !strings.Contains(out, "nothing is wrong") {
		t.Errorf("weir config check: %s", out)
	}
	checkService(t, r, uid)
	const enabled = "etc/systemd/system/multi-user.target.wants/weir.service"
	r.want(false, enabled)

	// What an administrator has done outlives upgrades.
	command(t, nil, "systemctl", "--root="+r.dir, "enable", "weir.service")
	r.want(true, enabled)
	const file, offered = "etc/weir/weir.yaml", "etc/weir/weir.yaml.dpkg-dist"
	changed := r.read(file) + "interface: [eth7]\n"
	r.write(file, changed)
	r.write("var/lib/weir/history", "")
	r.dpkg("--install", next)
	if out := command(t, nil, weir, "version"); !strings.HasPrefix(out, "weir v0.1.0\n") { // the same program in a newer package
		t.Errorf("weir version after the upgrade:\n%s", out)
	}
	if got := r.read(file); got != changed {
		t.Errorf("%s was overwritten:\n%s", file, got)
	}
	if got := r.read(offered); !strings.HasSuffix(got, "# of the next version\n") {
		t.Errorf("%s is not the new one:\n%s", offered, got)
	}
	r.want(true, enabled, "var/lib/weir/history")
	checkOwners(t, r, uid)

	r.dpkg("--remove", "weir")
	r.want(false, "usr/bin/weir", "usr/share/doc/weir", "usr/lib/systemd/system/weir.service")
	r.want(true, file, "etc/logrotate.d/weir", "var/lib/weir/history")
	r.dpkg("--install", first)
	r.want(true, enabled, weirBinary)
	if got := r.read(file); got != changed {
		t.Errorf("%s was overwritten:\n%s", file, got)
	}
	r.dpkg("--remove", "weir")
	r.dpkg("--purge", "weir")
	if left := r.left(); len(left) > 0 {
		t.Errorf("left after purging: %s", strings.Join(left, ", "))
	}
	checkUser(t, r) // nobody else gets its number

	// A file that nobody changed is replaced without a word.
	r.dpkg("--install", first)
	r.dpkg("--install", next)
	r.want(false, offered)
	if got := r.read(file); !strings.HasSuffix(got, "# of the next version\n") {
		t.Errorf("%s is not the new one:\n%s", file, got)
	}
	r.dpkg("--purge", "weir")
	if left := r.left(); len(left) > 0 {
		t.Errorf("left after purging at once: %s", strings.Join(left, ", "))
	}
}

const weirBinary = "usr/bin/weir"

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkStatic wants a program that needs nothing beside it, without symbols.
func checkStatic(t *testing.T, file string) {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("weir is linked dynamically")
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("weir is not stripped")
	}
}

// repack makes a package of a newer version out of what one was packed from, with a line more in its configuration.
func repack(t *testing.T, file, version string) string {
	t.Helper()
	from, dir := filepath.Dir(file), t.TempDir()
	command(t, nil, "cp", "-r", ".", filepath.Join(dir, "packaging"))
	command(t, nil, "cp", "-r", "../docs", filepath.Join(dir, "docs"))
	config := filepath.Join(dir, "packaging", "weir.yaml")
	if err := os.WriteFile(config, append(read(t, config), "# of the next version\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	command(t, []string{"SOURCE_DATE_EPOCH=1795653197", uncompressed}, filepath.Join(dir, "packaging", "deb.sh"), version, runtime.GOARCH,
		filepath.Join(from, runtime.GOARCH, "weir"), filepath.Join(from, "pages"), out)
	return only(t, filepath.Join(out, "*.deb"))
}

// checkUser returns the number of the user that weir runs as.
func checkUser(t *testing.T, r *root) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^weir:[^:]*:(\d+):\d+:[^:]*:/var/lib/weir:(.*)$`).FindStringSubmatch(r.read("etc/passwd"))
	if m == nil || !strings.HasSuffix(m[2], "nologin") {
		t.Fatalf("no user weir, or one who may log in:\n%s", r.read("etc/passwd"))
	}
	uid, err := strconv.Atoi(m[1])
	if err != nil || uid == 0 || uid >= 1000 {
		t.Fatalf("the user weir has the number %s", m[1])
	}
	return uid
}

// checkOwners wants everything to be root's and readable by all, but for the state, which is weir's alone.
func checkOwners(t *testing.T, r *root, uid int) {
	t.Helper()
	for _, name := range strings.Fields(r.dpkg("--listfiles", "weir")) {
		info, err := os.Lstat(r.path(name))
		if err != nil {
			t.Error(err)
			continue
		}
		want := map[bool]fs.FileMode{true: 0o755, false: 0o644}[info.IsDir() || name == "/"+weirBinary]
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 || owner.Gid != 0 || info.Mode().Perm() != want {
			t.Errorf("%s belongs to %d:%d with %v, want %v of root's", name, owner.Uid, owner.Gid, info.Mode(), want)
		}
	}
	for _, name := range []string{"var/lib/weir", "var/log/weir"} {
		info, err := os.Stat(r.path(name))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Sys().(*syscall.Stat_t); int(got.Uid) != uid || info.Mode().Perm() != 0o700 {
			t.Errorf("%s belongs to %d with %v, want %d with 0700", name, got.Uid, info.Mode(), uid)
		}
	}
}

// checkPages wants manual pages that man has nothing to say about, one for each of what weir --help lists among others.
func checkPages(t *testing.T, r *root) {
	t.Helper()
	pages, err := filepath.Glob(r.path("usr/share/man/man1/*.1.gz"))
	if err != nil || len(pages) < 30 {
		t.Fatalf("%d manual pages, %v", len(pages), err)
	}
	r.want(true, "usr/share/man/man1/weir.1.gz", "usr/share/man/man1/weir-run.1.gz", "usr/share/man/man1/weir-alerts-exclude.1.gz")
	if lacks(t, "man") {
		return
	}
	for _, page := range pages {
		cmd := exec.CommandContext(t.Context(), "man", "--warnings", "--encoding=UTF-8", "--local-file", page)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80")
		var warnings bytes.Buffer
		cmd.Stderr = &warnings
		text, err := cmd.Output()
		if err != nil || warnings.Len() > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, warnings.String())
		}
		for _, title := range []string{"NAME", "SYNOPSIS", "DESCRIPTION"} {
			if !bytes.Contains(text, []byte("\n"+title+"\n")) {
				t.Errorf("%s lacks %s", filepath.Base(page), title)
			}
		}
	}
}

// checkCompletions wants what each shell that is there can read.
func checkCompletions(t *testing.T, r *root) {
	t.Helper()
	for shell, name := range map[string]string{
		"bash": "usr/share/bash-completion/completions/weir", "zsh": "usr/share/zsh/vendor-completions/_weir", "fish": "usr/share/fish/vendor_completions.d/weir.fish",
	} {
		r.want(true, name)
		if _, err := exec.LookPath(shell); err == nil {
			command(t, nil, shell, "-n", r.path(name))
		}
	}
}

// exposure is what `systemd-analyze security` may say at most: 10 is a service that may do everything.
const exposure = 2.0

// checkUnit asks systemd what it thinks of the service.
func checkUnit(t *testing.T, r *root) {
	t.Helper()
	if lacks(t, "systemd-analyze") {
		return
	}
	unit := r.path("usr/lib/systemd/system/weir.service")
	out := command(t, nil, "systemd-analyze", "security", "--offline=true", fmt.Sprintf("--threshold=%.0f", 10*exposure), unit)
	t.Log(strings.TrimSpace(out[strings.LastIndex(out, "Overall"):]))
	// Verified where the program is; what else it says is about the units of the machine it runs on.
	text := strings.ReplaceAll(r.read("usr/lib/systemd/system/weir.service"), "/usr/bin/weir", r.path(weirBinary))
	text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(text, "")
	copied := filepath.Join(t.TempDir(), "weir.service")
	if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := try(t, nil, "systemd-analyze", "verify", "--man=no", copied)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "weir") {
			t.Errorf("systemd-analyze verify: %v: %s", err, line)
		}
	}
}

// TestConfiguration wants in the configuration, comments among it, nothing but keys that there are.
func TestConfiguration(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector sees nothing of other programs")
	}
	needs(t, "deb", "go")
	text := regexp.MustCompile(`(?m)^#([a-z][a-z-]*:)`).ReplaceAllString(string(read(t, "weir.yaml")), "$1")
	file := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out := command(t, nil, "go", "run", "../cmd/weir", "config", "print", file)
	for _, want := range []string{"interface: [eth0]", "filter: ", "apps: apps", "http-key: ", "send: [", "ring-memory: 256MiB"} {
		if !strings.Contains(out, "\n"+want) {
			t.Errorf("weir config print lacks %s:\n%s", want, out)
		}
	}
}
