package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirnet/weir/learn"
)

// scriptTaught gives a run with a dashboard a capture through a pipe, has it learn from the middle half, and promotes what it learned
// before the last quarter. The answer that tells of the result is written to RESULT:
// taught CAPTURE OUTPUT RESULT START -- ARG…
func scriptTaught(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 || args[4] != "--" {
		ts.Fatalf("usage: taught CAPTURE OUTPUT RESULT START -- ARG…")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	log := ts.MkAbs(args[1] + ".log")
	stderr, err := os.Create(log)
	ts.Check(err)
	defer stderr.Close()
	cmd := exec.Command("weir", append([]string{"run", "-r", "-", "--http", "127.0.0.1:0", "--http-token", "token", "--exit", "-o", args[1]}, args[5:]...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = ts.MkAbs("."), append(os.Environ(), "HOME="+ts.Getenv("HOME")), stderr
	stdin, err := cmd.StdinPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	defer func() {
		told, _ := os.ReadFile(log)
		ts.Logf("%s", told)
		cmd.Process.Kill()
	}()
	until := func(what string, is func() bool) {
		for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				ts.Fatalf("this does not come true: %s", what)
			}
		}
	}
	var base string
	until("there is a dashboard", func() bool {
		told, _ := os.ReadFile(log)
		_, rest, ok := bytes.Cut(told, []byte("dashboard: "))
		link, _, whole := bytes.Cut(rest, []byte(" "))
		if u, err := url.Parse(string(link)); ok && whole && err == nil {
			base = "http://" + u.Host + "/api/v1/learn"
		}
		return base != ""
	})
	token := strings.TrimSpace(ts.ReadFile("token"))
	ask := func(method, path, body string) (s learn.State, text []byte) {
		r, err := http.NewRequest(method, base+path, strings.NewReader(body))
		ts.Check(err)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		ts.Check(err)
		defer answer.Body.Close()
		text, err = io.ReadAll(answer.Body)
		ts.Check(err)
		if answer.StatusCode != http.StatusOK {
			ts.Fatalf("%s %s: %s", method, path, text)
		}
		ts.Check(json.Unmarshal(text, &s))
		return s, text
	}
	give := func(n int) {
		n = min(n, len(data))
		_, err := stdin.Write(data[:n])
		ts.Check(err)
		data = data[n:]
	}
	quarter := len(data) / 4
	give(quarter)
	ask("POST", "/start", args[3])
	for range 16 { // what is read comes between packets
		give(quarter / 8)
		time.Sleep(20 * time.Millisecond)
	}
	until("there are windows", func() bool { s, _ := ask("GET", "", ""); return s.Windows > 20 })
	ask("POST", "/enough", "")
	ask("POST", "/train", `{"epochs":4}`)
	until("it is trained", func() bool {
		s, text := ask("GET", "", "")
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), text, 0o644))
		if s.Phase == learn.Review {
			ts.Fatalf("%s", s.Told)
		}
		return s.Phase == learn.Trained
	})
	s, _ := ask("POST", "/promote", "")
	if !s.Taken {
		ts.Fatalf("it is not taken over: %+v", s)
	}
	want := fmt.Sprintf("%s is in use from here on", s.Result.Ref)
	until(want, func() bool {
		give(256)
		told, _ := os.ReadFile(log)
		return bytes.Contains(told, []byte(want))
	})
	if s, _ := ask("GET", "", ""); s.InUse != s.Result.Ref {
		ts.Fatalf("in use is %s", s.InUse)
	}
	give(len(data))
	ts.Check(stdin.Close())
	ts.Check(cmd.Wait())
}
