package store_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

var kills = flag.Int("kills", 30, "how often TestKill kills a process that writes a store")

// Variables of the environment that make a process of this test a writer.
const (
	childDir  = "WEIR_TEST_STORE"
	childSeed = "WEIR_TEST_SEED"
	childAge  = "WEIR_TEST_AGE"
)

const (
	killEvents = 5000
	killAge    = 90 * time.Minute
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := write(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	status := m.Run()
	if bench.dir != "" {
		bench.store.Close()
		os.RemoveAll(bench.dir)
	}
	os.Exit(status)
}

func killed(seed uint64) *storetest.Generator {
	g := storetest.NewGenerator(seed, 30)
	g.Every = 4 * time.Second
	return g
}

// write is the process that is killed: it stores the events of a source from the start, and says
// after each Append what is acknowledged.
func write(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(childSeed), 10, 64)
	if err != nil {
		return err
	}
	s, err := store.Create(dir, store.Options{SegmentRows: 250, SparseRows: 20})
	if err != nil {
		return err
	}
	opts := store.RecorderOptions{Wait: true, Every: time.Millisecond, Queue: 64 << 10}
	if os.Getenv(childAge) != "" {
		opts.Age = killAge
	}
	r, err := store.NewRecorder(context.Background(), acknowledging{s}, store.Source{Name: "test"}, opts)
	if err != nil {
		return err
	}
	fmt.Println("stored", r.Stored().Ordinal)
	g := killed(seed)
	for i := range killEvents {
		e := g.Next()
		if err := r.Write(&e); err != nil {
			return err
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if err := errors.Join(r.Close(true), s.Close()); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// acknowledging says what has been stored as soon as Append has returned.
type acknowledging struct{ *store.DiskWriter }

func (a acknowledging) Append(ctx context.Context, events []event.Event, at store.Position) error {
	err := a.DiskWriter.Append(ctx, events, at)
	if err == nil {
		fmt.Println("stored", at.Ordinal)
	}
	return err
}

// TestKill kills a process that writes a store, again and again at random moments, and reads what is
// there: all that was acknowledged, nothing twice, nothing else.
func TestKill(t *testing.T) {
	n := *kills
	if testing.Short() {
		n = min(n, 10)
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	sealed, stores := 0, 0
	for seed := uint64(0); n > 0; seed++ {
		dir := filepath.Join(t.TempDir(), "store")
		aged := seed%3 == 2
		events := killed(seed).Take(killEvents)
		stores++
		for done := false; !done; {
			// At any moment, or soon after a segment begins to be written.
			when := moment{after: time.Duration(r.Int64N(int64(150 * time.Millisecond)))}
			if n%2 == 0 {
				when = moment{sealing: true, after: time.Duration(r.Int64N(int64(5 * time.Millisecond)))}
			}
			if n--; n < 0 {
				when = moment{after: time.Hour} // the last one may finish
			}
			var acknowledged uint64
			acknowledged, done = runAndKill(t, dir, seed, aged, when)
			stored, segments := checkStore(t, dir, events, aged, done)
			sealed += segments
			if stored < acknowledged {
				t.Fatalf("%d events were acknowledged, %d are stored", acknowledged, stored)
			}
			if done && stored != uint64(len(events)) {
				t.Fatalf("the writer ended, %d of %d events are stored", stored, len(events))
			}
		}
	}
	if sealed == 0 {
		t.Errorf("no segment was ever sealed")
	}
	t.Logf("%d stores", stores)
}

// moment is when to kill a writer: some time after its start, or after the first unfinished segment is
// seen.
type moment struct {
	sealing bool
	after   time.Duration
}

// wait returns at the moment, or when ended is closed.
func (m moment) wait(dir string, ended <-chan struct{}) {
	for m.sealing {
		if found, _ := filepath.Glob(filepath.Join(dir, "*s", ".*.new")); len(found) > 0 {
			break
		}
		select {
		case <-ended:
			return
		case <-time.After(50 * time.Microsecond):
		}
	}
	select {
	case <-ended:
	case <-time.After(m.after):
	}
}

// runAndKill runs a writer and kills it at a moment. It returns what the writer said it had
// acknowledged, and whether it came to its end.
func runAndKill(t *testing.T, dir string, seed uint64, aged bool, when moment) (acknowledged uint64, done bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", childSeed, seed))
	if aged {
		cmd.Env = append(cmd.Env, childAge+"=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	ended, waited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(waited)
		when.wait(dir, ended)
		cmd.Process.Kill()
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "stored":
			if n, err := strconv.ParseUint(rest, 10, 64); err == nil { // the last line may be cut
				acknowledged = max(acknowledged, n)
			}
		case "done":
			done = true
		case "error":
			t.Errorf("the writer failed: %s", rest)
		}
	}
	close(ended)
	<-waited
	cmd.Wait()
	return acknowledged, done
}

// checkStore reads a store and wants it to hold the events up to its position, or those that are
// young enough of them. It returns the position and how many segments there are.
func checkStore(t *testing.T, dir string, events []event.Event, aged, done bool) (stored uint64, segments int) {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(dir)
	if err != nil {
		if _, missing := os.Stat(filepath.Join(dir, "weir.db")); errors.Is(missing, fs.ErrNotExist) {
			return 0, 0 // killed before there was a store
		}
		t.Fatal(err)
	}
	defer s.Close()
	info, err := s.Info(ctx)
	must(t, err)
	if len(info.Sources) == 0 {
		return 0, 0
	}
	at := info.Sources[0].Position
	twin := storetest.NewMemory()
	_, err = twin.Begin(ctx, store.Source{Name: "test"})
	must(t, err)
	must(t, twin.Append(ctx, events[:at.Ordinal], at))
	var young store.Range
	if aged && info.Newest != 0 {
		young.Since = info.Newest - int64(killAge)
	}
	compare(t, "flow", s.Flows(ctx, store.FlowQuery{Range: young}), twin.Flows(ctx, store.FlowQuery{Range: young}))
	compare(t, "window", s.Windows(ctx, store.WindowQuery{Range: young}), twin.Windows(ctx, store.WindowQuery{Range: young}))
	got, err := s.Scores(ctx, store.ScoreQuery{Range: young})
	must(t, err)
	want, err := twin.Scores(ctx, store.ScoreQuery{Range: young})
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%d scores are not the %d that they should be", len(got), len(want))
	}
	if !aged {
		compare(t, "alert", s.Alerts(ctx, store.AlertQuery{}), twin.Alerts(ctx, store.AlertQuery{}))
		got, err := s.Incidents(ctx, store.IncidentQuery{})
		must(t, err)
		want, err := twin.Incidents(ctx, store.IncidentQuery{})
		must(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("incidents are\n%+v, want\n%+v", got, want)
		}
		for _, by := range []store.Dimension{store.Apps, store.Hosts, store.Ports} {
			got, err := s.Top(ctx, store.TopQuery{By: by})
			must(t, err)
			want, err := twin.Top(ctx, store.TopQuery{By: by})
			must(t, err)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("totals by %s are\n%+v, want\n%+v", by, got, want)
			}
		}
	} else if n := int64(countFlows(events[:at.Ordinal])); info.Flows > n {
		t.Fatalf("%d flows, there were %d in all", info.Flows, n)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*s", "*"))
	must(t, err)
	hidden, err := filepath.Glob(filepath.Join(dir, "*s", ".*"))
	must(t, err)
	if done && (len(files) != info.Segments || len(hidden) > 0) {
		t.Fatalf("after a clean end there are %d files and %d hidden ones, the manifest has %d", len(files), len(hidden), info.Segments)
	}
	if done && !at.Done {
		t.Fatalf("after a clean end the source is not done")
	}
	return at.Ordinal, info.Segments
}

func countFlows(events []event.Event) (n int) {
	for i := range events {
		if events[i].Type == event.TypeFlow {
			n++
		}
	}
	return n
}

func compare[T any](t *testing.T, what string, got, want func(func(*T, error) bool)) {
	t.Helper()
	g, w := all(t, got), all(t, want)
	if len(g) != len(w) {
		t.Fatalf("%d of %ss, want %d", len(g), what, len(w))
	}
	for i := range g {
		if !reflect.DeepEqual(g[i], w[i]) {
			t.Fatalf("%s %d of %d is\n%+v, want\n%+v", what, i, len(g), g[i], w[i])
		}
	}
}

func all[T any](t *testing.T, seq func(func(*T, error) bool)) []T {
	t.Helper()
	var list []T
	seq(func(v *T, err error) bool {
		must(t, err)
		list = append(list, *v)
		return true
	})
	return list
}
