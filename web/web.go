// Package web serves what a running weir sees and what its history holds: JSON under /api/v1, described
// by openapi.json, server-sent events of what is new, the dashboard in a browser, and /metrics for Prometheus. It asks a
// store.Reader and a model.Registry; it knows no packets and never holds up who watches them.
//
//	live := web.NewLive()
//	s, err := web.New(web.Config{Live: live, History: history, Token: token, Hosts: web.Loopback(8080)})
//	go s.Serve(listener)
//	for each event { live.Observe(e) }
//	err = s.Close()
//
// # Who is let in
//
// Every request names a host that is ours (or it is another site's, by DNS rebinding), comes from our
// own pages if it changes anything, and bears the token: as Authorization: Bearer, or as the cookie that a
// one-time link was exchanged for. Anything else gets a status and no word more; /healthz and /readyz, which
// need no token, say ok or not.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/learn"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/store"
)

// Config says what a Server shows and to whom.
type Config struct {
	Version string         // of the program
	Source  string         // what is watched, for people; "": nothing, history alone is shown
	Live    *Live          // what is watched now; nil: nothing is
	History store.Reader   // what was seen
	Models  model.Registry // versions, to look at and to promote
	InUse   []string       // NAME@VERSION of the models that label and score now

	// Follows reports whether what is watched takes over the versions of a model that are promoted. nil: it does not.
	Follows func(name string) bool

	Learn *learn.Learner // of what is watched; nil: nothing can be learned

	Explain func(*event.Alert) string // the plain sentence of an alert

	// Packets writes the packets that are kept of an alert, or of all alerts of an incident, as a capture, and returns how many
	// they are and should be. nil: none are kept.
	Packets func(ctx context.Context, id store.ID, w io.Writer) (got, expected uint64, err error)

	// Opening finds the payload of a flow that was decided lately, by its number, so that a corrected label can be learned. nil: none is
	// remembered.
	Opening func(flowID uint64) *event.Sample

	Healthy func() bool // reports whether weir does its work, for /healthz; nil: it does
	Ready   func() bool // reports whether it began to, for /readyz; nil: it did

	Token string            // secret of tools and of cookies, at least 32 characters
	Hosts func(string) bool // reports whether a Host header, in lower case, is ours; see Loopback
	TLS   bool              // requests come through TLS
	Who   string            // whose verdicts these are; "": dashboard
	Limit Limits            // zero fields take their defaults
	Warn  func(string)      // takes what a person should know; nil: slog.Warn
	Now   func() time.Time  // the clock; nil: time.Now
	UI    fs.FS             // the built dashboard; nil: the one built in, if any
}

// Limits bound what all clients together may cost.
type Limits struct {
	Clients int           // that follow at the same time; 0: 32
	Queue   int           // updates that wait for a client that follows before it is dropped; 0: 16
	Every   time.Duration // between two updates; 0: 250 ms
	Queries int           // questions to the history at the same time, others wait; 0: 4
	Query   time.Duration // of a question, waiting included; 0: 10 s
	Export  time.Duration // of a download; 0: 5 min
}

func (l *Limits) defaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	long := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	set(&l.Clients, 32)
	set(&l.Queue, 16)
	set(&l.Queries, 4)
	long(&l.Every, 250*time.Millisecond)
	long(&l.Query, 10*time.Second)
	long(&l.Export, 5*time.Minute)
}

// Server answers requests. New starts nothing; Serve does.
type Server struct {
	cfg     Config
	started time.Time
	handler http.Handler
	http    *http.Server
	queries chan struct{} // a place for each question that is being answered
	links   links
	stream  stream
	running sync.WaitGroup
}

// New returns a server that serves nothing yet.
func New(cfg Config) (*Server, error) {
	switch {
	case len(cfg.Token) < minToken:
		return nil, errors.New("web: a token is needed")
	case cfg.Hosts == nil:
		return nil, errors.New("web: Hosts is needed")
	case cfg.History == nil:
		return nil, errors.New("web: History is needed")
	}
	cfg.Limit.defaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Warn == nil {
		cfg.Warn = func(text string) { slog.Warn(text) }
	}
	if cfg.Explain == nil {
		cfg.Explain = func(*event.Alert) string { return "" }
	}
	well := func() bool { return true }
	if cfg.Healthy == nil {
		cfg.Healthy = well
	}
	if cfg.Ready == nil {
		cfg.Ready = well
	}
	if cfg.Who == "" {
		cfg.Who = "dashboard"
	}
	if cfg.UI == nil {
		cfg.UI = builtIn()
	}
	s := &Server{cfg: cfg, started: cfg.Now(), queries: make(chan struct{}, cfg.Limit.Queries)}
	s.stream.init(&s.cfg)
	var err error
	if s.handler, err = s.routes(); err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug), // what clients do wrong is no news
	}
	return s, nil
}

// Handler is the server as a handler, for tests.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers requests until Close. It takes over the listener.
func (s *Server) Serve(l net.Listener) error {
	s.running.Add(1)
	defer s.running.Done()
	ctx, stop := context.WithCancel(context.Background())
	var updates sync.WaitGroup
	updates.Go(func() { s.stream.run(ctx) })
	err := s.http.Serve(l)
	stop()
	updates.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends the server: who follows is told to come back, other answers have two seconds.
func (s *Server) Close() error {
	s.stream.close()
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	s.running.Wait()
	return err
}

// maxConns bounds the connections that are open at the same time; more wait to be accepted.
const maxConns = 256

// CheckAddress tells what Listen would refuse of an address. Other than loopback needs a certificate.
func CheckAddress(address string, certified bool) error {
	host, _, err := net.SplitHostPort(address)
	if err == nil && !certified && !loopback(host) {
		return ErrNeedsTLS
	}
	return err
}

// Listen opens the address that a server is reached at.
func Listen(address string, certificate *tls.Certificate) (net.Listener, error) {
	if err := CheckAddress(address, certificate != nil); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l = netutil.LimitListener(l, maxConns)
	if certificate == nil {
		return l, nil
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// ErrNeedsTLS refuses to let others read what passes between a browser and weir.
var ErrNeedsTLS = errors.New("an address that other machines reach needs a certificate")
