package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/evidence"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/store"
)

// evidenceFlags say where a run keeps the packets of its alerts.
type evidenceFlags struct {
	dir   string
	bytes byteSize

	recorder *evidence.Recorder
}

// noEvidence is the value of --evidence that keeps none beside a history.
const noEvidence = "none"

func (e *evidenceFlags) flags(c *cobra.Command) {
	e.bytes = 2 << 30
	c.Flags().StringVar(&e.dir, "evidence", "", "directory for the packets of alerts (default evidence in that of --store; none: keep none)")
	c.Flags().Var(&e.bytes, "evidence-bytes", "size of what --evidence keeps: half for a ring of recent packets, half for those of alerts; the oldest go first")
}

// check tells what is wrong with the flags.
func (e *evidenceFlags) check(store string, anomaly bool) error {
	least := byteSize(2 * evidence.MinBytes)
	switch {
	case evidenceDir(e.dir, store) == noEvidence:
		return nil
	case e.bytes < least:
		return usageError{fmt.Errorf("--evidence-bytes %s: at least %s are needed", &e.bytes, &least)}
	case !anomaly && e.dir != "":
		return usageError{fmt.Errorf("--evidence keeps the packets of alerts: there are none without --anomaly")}
	}
	return nil
}

// evidenceDir is where the packets of a history's alerts are.
func evidenceDir(given, store string) string {
	switch {
	case given != "":
		return given
	case store != "":
		return filepath.Join(store, "evidence")
	}
	return noEvidence
}

// evidenceSource is a source of the history as the evidence knows it.
func evidenceSource(s store.Source) evidence.Source {
	return evidence.Source{Name: s.Name, Settings: s.Settings}
}

// begin begins to keep the packets of the source that the history is at. With wait, reading waits for the disk.
func (e *evidenceFlags) begin(h *history, s *sensor.Sensor, cfg *sensor.Config, section capture.Section, wait bool) (err error) {
	if err := e.check(h.dir, cfg.Anomaly != nil); err != nil {
		return err
	}
	dir := evidenceDir(e.dir, h.dir)
	switch {
	case dir == noEvidence, cfg.Anomaly == nil, h.recorder != nil && h.recorder.Stored().Done:
		return nil
	}
	section.Comment = evidenceComment(h.source, cfg)
	source := evidenceSource(h.source)
	source.Section = section
	e.recorder, err = evidence.Create(dir, source, evidence.Options{
		Length: cfg.Anomaly.Length, RingBytes: int64(e.bytes) / 2, KeepBytes: int64(e.bytes) / 2, Wait: wait,
		Tell: func(level slog.Level, text string) { slog.Log(context.Background(), level, text) },
	})
	if err == nil {
		s.KeepEvidence(e.recorder)
	}
	return err
}

// evidenceComment says in a capture what its packets are.
func evidenceComment(source store.Source, cfg *sensor.Config) string {
	lines := []string{
		"packets that counted in the windows around an alert, window by window",
		"weir: " + version,
		"source: " + source.Name,
		"run: " + source.Settings,
		"window: " + cfg.Anomaly.Length.String(),
	}
	for _, c := range source.Captures {
		lines = append(lines, "capture: "+c.Name)
	}
	if len(cfg.Anomaly.Home) > 0 {
		var home []string
		for _, p := range cfg.Anomaly.Home {
			home = append(home, p.String())
		}
		lines = append(lines, "home: "+strings.Join(home, ","))
	}
	return strings.Join(lines, "\n")
}

// read takes how reading went. Where it was broken off, windows that close at the end of the sensor lack packets: what is kept of
// them would stand in the way of the whole ones when the same command goes on.
func (e *evidenceFlags) read(err error, s *sensor.Sensor) error {
	if e.recorder == nil || err == nil || onlyPartly(err) {
		return nil
	}
	s.KeepEvidence(nil)
	return e.close()
}

// close ends the keeping, and says what is missing.
func (e *evidenceFlags) close() error {
	if e.recorder == nil {
		return nil
	}
	r := e.recorder
	e.recorder = nil
	err := r.Close()
	for reason, n := range r.Lost() {
		slog.Warn(fmt.Sprintf("%d packets are missing from what is kept of alerts: %s", n, reason))
	}
	return err
}

// keptSlices says what is kept of alerts, and how many packets that should be; whole: exactly so many.
func keptSlices(ctx context.Context, s store.Reader, ids []store.ID) (slices []evidence.Slice, expected uint64, whole bool, err error) {
	info, err := s.Info(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	whole = true
	for _, id := range ids {
		n := 0
		slice := evidence.Slice{From: math.MaxInt64, To: math.MinInt64}
		for a, err := range s.Alerts(ctx, store.AlertQuery{ID: id}) {
			if err != nil {
				return nil, 0, false, err
			}
			e := &a.Alert.Evidence
			if n++; n == 1 {
				for i := range info.Sources {
					if info.Sources[i].Name == a.Source {
						source := evidenceSource(info.Sources[i].Source)
						slice.Key = source.Key()
					}
				}
				expected += e.Packets
			} else {
				expected += a.Alert.Packets // what came before it is of the alerts before, but for windows in between
				whole = false
			}
			if e.From == 0 && len(e.Slices) == 0 {
				return nil, 0, false, fmt.Errorf("alert %s: no packets were kept of it (weir run --evidence)", a.ID)
			}
			slice.From, slice.To = min(slice.From, int64(e.From)), max(slice.To, int64(e.End))
		}
		if n == 0 {
			return nil, 0, false, fmt.Errorf("%w: %s", store.ErrUnknown, id)
		}
		slices = append(slices, slice)
	}
	return slices, expected, whole, nil
}

// errNotKept says that packets of an alert were kept, and have had to go.
var errNotKept = errors.New("the packets are not kept any more")

// packets returns what writes the packets of an alert or incident that are kept beside a history, nil where none are.
func (e *evidenceFlags) packets(s store.Reader, history string) func(context.Context, store.ID, io.Writer) (got, expected uint64, err error) {
	dir := evidenceDir(e.dir, history)
	if dir == noEvidence {
		return nil
	}
	return func(ctx context.Context, id store.ID, w io.Writer) (got, expected uint64, err error) {
		slices, expected, _, err := keptSlices(ctx, s, []store.ID{id})
		if err != nil {
			return 0, 0, err
		}
		got, err = evidence.Dir(dir).Export(w, slices...)
		if err == nil && got == 0 && expected > 0 {
			err = errNotKept
		}
		return got, expected, err
	}
}

// exportPackets writes what is kept of alerts as one capture.
func exportPackets(ctx context.Context, g *shared, s *store.Disk, dir string, ids []store.ID, file string) error {
	slices, expected, whole, err := keptSlices(ctx, s, ids)
	if errors.Is(err, store.ErrUnknown) {
		return fmt.Errorf("%s: %w (weir alerts list has them all)", s.Dir(), err)
	}
	if err != nil {
		return err
	}
	out, finish, err := output(file)
	if err != nil {
		return err
	}
	packets, err := evidence.Dir(dir).Export(out, slices...)
	if err := finish(err); err != nil {
		return err
	}
	switch {
	case packets == 0 && expected > 0:
		return fmt.Errorf("%s: %s: %w", dir, joinIDs(ids), errNotKept)
	case packets < expected || whole && len(ids) == 1 && packets != expected:
		slog.Warn(fmt.Sprintf("%d of the %d packets are kept: the others were lost or had no room", packets, expected))
		return errPartly
	}
	g.info("%d packets", packets)
	return nil
}

func joinIDs(ids []store.ID) string {
	var all []string
	for _, id := range ids {
		all = append(all, id.String())
	}
	return strings.Join(all, ", ")
}
