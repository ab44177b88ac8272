package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// ExclusionLine is an exclusion as it is told.
type ExclusionLine struct {
	ID         int64       `json:"id"`
	Host       string      `json:"host"`    // address or network; "": any
	Port       uint16      `json:"port"`    // 0: any
	App        string      `json:"app"`     // "": any
	Feature    string      `json:"feature"` // "": any
	From       string      `json:"from"`    // time of day in UTC, 22:00; "": any
	To         string      `json:"to"`
	Until      *event.Time `json:"until"` // null: until it is taken back
	Note       string      `json:"note"`
	Who        string      `json:"who"`
	At         event.Time  `json:"at"`
	Alert      string      `json:"alert"` // that it was made from
	Suppressed int64       `json:"suppressed"`
}

func exclusionLine(x *store.Exclusion) ExclusionLine {
	line := ExclusionLine{
		ID: x.ID, Port: x.Port, App: x.App, Feature: x.Feature, Note: x.Note, Who: x.Who, At: event.Time(x.At), Suppressed: x.Suppressed,
	}
	if x.Host.IsValid() {
		line.Host = x.Host.String()
		if x.Host.IsSingleIP() {
			line.Host = x.Host.Addr().String()
		}
	}
	if x.From != x.To {
		line.From, line.To = dayTime(x.From), dayTime(x.To)
	}
	if x.Until != 0 {
		line.Until = (*event.Time)(&x.Until)
	}
	if x.Alert.Incident != 0 {
		line.Alert = x.Alert.String()
	}
	return line
}

func dayTime(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// parseDayTime reads a time of day from 00:00 to 24:00.
func parseDayTime(text string) (time.Duration, error) {
	if text == "24:00" {
		return 24 * time.Hour, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, bad("time of day %q: want one such as 22:00", text)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

func (s *Server) exclusions(w http.ResponseWriter, r *http.Request) error {
	if p := asked(r); p.err != nil {
		return p.err
	}
	all, err := s.cfg.History.Exclusions(r.Context())
	if err != nil {
		return err
	}
	out := struct {
		Exclusions []ExclusionLine `json:"exclusions"`
	}{make([]ExclusionLine, 0, len(all))}
	for i := range all {
		out.Exclusions = append(out.Exclusions, exclusionLine(&all[i]))
	}
	return reply(w, r, out)
}

// exclude tries an exclusion that is made from an alert or incident against what is stored, and keeps it unless it is only to be
// tried. One that what it is made from does not fall under is not kept.
func (s *Server) exclude(w http.ResponseWriter, r *http.Request) error {
	id, err := id(r)
	if err != nil {
		return err
	}
	var in struct {
		Host    string  `json:"host"`
		Port    uint16  `json:"port"`
		App     string  `json:"app"`
		Feature string  `json:"feature"`
		From    string  `json:"from"`
		To      string  `json:"to"`
		Seconds float64 `json:"seconds"`
		Note    string  `json:"note"`
		Try     bool    `json:"try"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	now := s.cfg.Now().Truncate(time.Microsecond)
	x := store.Exclusion{Port: in.Port, App: in.App, Feature: in.Feature, Note: in.Note, Who: s.cfg.Who, At: now.UnixNano(), Alert: id}
	if x.Host, err = parseHost(in.Host); err != nil {
		return err
	}
	if in.From != "" || in.To != "" {
		if x.From, err = parseDayTime(in.From); err != nil {
			return err
		}
		if x.To, err = parseDayTime(in.To); err != nil {
			return err
		}
	}
	switch {
	case len(in.Note) > maxNote:
		return bad("the note has %d bytes, %d are allowed", len(in.Note), maxNote)
	case !(in.Seconds >= 0 && in.Seconds < 100*365*24*3600):
		return bad("seconds %v: want how long it holds from now on; 0: until it is taken back", in.Seconds)
	case in.Seconds > 0:
		x.Until = now.UnixNano() + int64(in.Seconds*1e9)
	}
	if err := x.Check(); err != nil {
		return badRequest{err}
	}
	trial, err := x.Try(r.Context(), s.cfg.History, id)
	if err != nil {
		return err
	}
	if trial.Asked == 0 {
		return fmt.Errorf("%w: %s", store.ErrUnknown, id)
	}
	out := struct {
		ID        *int64 `json:"id"` // null: it was only tried, or nothing of the alert falls under it
		Asked     int    `json:"asked"`
		Hit       int    `json:"asked_matches"`
		Alerts    int    `json:"alerts"`
		Matches   int    `json:"matches"`
		Incidents int    `json:"incidents"`
		Touched   int    `json:"incidents_touched"`
		Whole     int    `json:"incidents_whole"`
	}{nil, trial.Asked, trial.AskedMatches, trial.Alerts, trial.Matches, trial.Incidents, trial.Touched, trial.Whole}
	if !in.Try && trial.AskedMatches > 0 {
		number, err := s.cfg.History.Exclude(r.Context(), x)
		if err != nil {
			return err
		}
		out.ID = &number
	}
	return reply(w, r, out)
}

// include takes an exclusion back.
func (s *Server) include(w http.ResponseWriter, r *http.Request) error {
	number, err := strconv.ParseInt(r.PathValue("number"), 10, 64)
	if err != nil || number < 1 {
		return bad("exclusion %q: want its number", r.PathValue("number"))
	}
	if err := s.cfg.History.RemoveExclusion(r.Context(), number); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// parseHost reads an address or a network; "": any.
func parseHost(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return netip.Prefix{}, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, bad("host=%q: want an address, or a network such as 10.0.0.0/8", text)
	}
	return network.Masked(), nil
}

var errNoPackets = errors.New("no packets are kept of it")

// packets writes the packets that are kept of an alert, or of all alerts of an incident. They are put together in a file first: what
// cannot be had is told before the first byte.
func (s *Server) packets(w http.ResponseWriter, r *http.Request) error {
	p := asked(r)
	id, err := id(r)
	if p.err != nil || err != nil {
		return firstError(p.err, err)
	}
	if s.cfg.Packets == nil {
		return errNoPackets
	}
	f, err := os.CreateTemp("", "weir-packets-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	got, expected, err := s.cfg.Packets(r.Context(), id, f)
	if err != nil && !errors.Is(err, store.ErrUnknown) {
		return fmt.Errorf("%w: %w", errNoPackets, err)
	}
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="weir-alert-`+id.String()+`.pcapng"`)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Weir-Packets", strconv.FormatUint(got, 10))
	h.Set("Weir-Expected", strconv.FormatUint(expected, 10))
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.Limit.Export))
	io.Copy(w, f) // an error means that nobody listens
	return nil
}
