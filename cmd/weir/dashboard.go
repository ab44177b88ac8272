package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/web"
)

// dashboard is what a command shows in a browser. Without an address it does nothing.
type dashboard struct {
	address, token   string // the token's file
	certificate, key string // files
	exit             bool
	cert             *tls.Certificate
	secret           string // the token
	listener         net.Listener
	live             *web.Live
	server           *web.Server
	serving          sync.WaitGroup
}

func (d *dashboard) flags(c *cobra.Command) {
	c.Flags().StringVar(&d.token, "http-token", "", "file of the token of tools, made when it is not there (default: weir/token in the user's configuration directory)")
	c.Flags().StringVar(&d.certificate, "http-cert", "", "file of the certificate (PEM) of the dashboard; needed where other machines reach it")
	c.Flags().StringVar(&d.key, "http-key", "", "file of the key (PEM) of --http-cert")
}

// check tells what is wrong with the flags, and reads the certificate.
func (d *dashboard) check() error {
	if d.address == "" {
		name := ""
		switch {
		case d.token != "":
			name = "http-token"
		case d.certificate != "":
			name = "http-cert"
		case d.key != "":
			name = "http-key"
		case d.exit:
			name = "exit"
		default:
			return nil
		}
		return usageError{fmt.Errorf("--%s goes with --http", name)}
	}
	_, port, err := net.SplitHostPort(d.address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usageError{fmt.Errorf("--http %q: want an address and a port, such as 127.0.0.1:8080", d.address)}
	}
	if (d.certificate == "") != (d.key == "") {
		return usageError{errors.New("--http-cert and --http-key go together")}
	}
	if d.certificate != "" {
		cert, err := tls.LoadX509KeyPair(d.certificate, d.key)
		if err != nil {
			return fmt.Errorf("--http-cert %s: %w", d.certificate, err)
		}
		d.cert = &cert
	}
	if err := web.CheckAddress(d.address, d.cert != nil); errors.Is(err, web.ErrNeedsTLS) {
		return usageError{fmt.Errorf("--http %s: %w: name it with --http-cert and --http-key, or listen on 127.0.0.1", d.address, err)}
	}
	return nil
}

// open opens the address, as the user that the program was started as.
func (d *dashboard) open() error {
	if err := d.check(); err != nil || d.address == "" {
		return err
	}
	if d.token == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return fmt.Errorf("%w: name a file with --http-token", err)
		}
		d.token = filepath.Join(dir, "weir", "token")
	}
	var err error
	d.listener, err = web.Listen(d.address, d.cert)
	if err != nil {
		return err
	}
	if d.secret, err = web.LoadToken(d.token); err != nil {
		return errors.Join(err, d.listener.Close())
	}
	return nil
}

// start shows what shown says, its history at least, and what beside is told of.
func (d *dashboard) start(g *shared, shown web.Config) error {
	if d.listener == nil {
		return nil
	}
	port := d.listener.Addr().(*net.TCPAddr).Port
	hosts, scheme := web.Loopback(port), "http"
	host, _, _ := net.SplitHostPort(d.address)
	if d.cert != nil {
		hosts, scheme = web.Certified(d.cert.Leaf), "https"
		if names := d.cert.Leaf.DNSNames; len(names) > 0 {
			host = names[0]
		}
	}
	var err error
	shown.Version, shown.Live, shown.Models, shown.Explain = version, d.live, g.registry(), sensor.Explain
	shown.Token, shown.Hosts, shown.TLS, shown.Who = d.secret, hosts, d.cert != nil, cmp.Or(userName(), "dashboard")
	d.server, err = web.New(shown)
	if err != nil {
		return err
	}
	d.serving.Go(func() {
		if err := d.server.Serve(d.listener); err != nil {
			slog.Error(fmt.Sprintf("dashboard: %v", err))
		}
	})
	// Whoever wants quiet still has to get in.
	slog.Info(fmt.Sprintf("dashboard: %s://%s%s (works once; the token of tools is in %s)",
		scheme, net.JoinHostPort(cmp.Or(host, "localhost"), fmt.Sprint(port)), d.server.Link(), d.token))
	return nil
}

// shown is what the dashboard of a run shows.
func (d *dashboard) shown(cfg *sensor.Config, keep *history, proof *evidenceFlags, lesson *lessons, promoted *follow, opening func(uint64) *event.Sample, sources []string) web.Config {
	if d.listener == nil {
		return web.Config{}
	}
	c := web.Config{Source: shownSource(sources), History: keep.store, InUse: modelsInUse(cfg), Learn: lesson.learner, Follows: promoted.follows, Opening: opening}
	if cfg.Anomaly != nil {
		c.Packets = proof.packets(keep.store, keep.dir)
	}
	return c
}

// beside returns what shows an event, and then gives it to another, nil: to nobody.
func (d *dashboard) beside(next func(*event.Event) error) func(*event.Event) error {
	if d.listener == nil {
		return next
	}
	d.live = web.NewLive()
	return func(e *event.Event) error {
		d.live.Observe(e)
		if next == nil {
			return nil
		}
		return next(e)
	}
}

// linger says that nothing more is watched, and stays until ctx ends, unless it was told not to.
func (d *dashboard) linger(ctx context.Context, g *shared) {
	if d.server == nil {
		return
	}
	d.live.End()
	if d.exit || ctx.Err() != nil {
		return
	}
	g.info("all is read; the dashboard stays until Ctrl-C")
	<-ctx.Done()
}

// close ends the dashboard.
func (d *dashboard) close() error {
	switch {
	case d.server != nil:
		err := d.server.Close()
		d.serving.Wait()
		return err
	case d.listener != nil:
		return d.listener.Close()
	}
	return nil
}

func newServe(g *shared) *cobra.Command {
	var (
		asked past
		dash  dashboard
	)
	c := &cobra.Command{
		Use:   "serve",
		Short: "Show a history in a browser",
		Long: `Show what is stored in a browser: scores, alerts, flows, models. What is watched now is shown by
weir run --http.`,
		Example: `  weir serve --store history
  weir serve --store history --http 10.0.0.5:8443 --http-cert weir.pem --http-key weir.key`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if err := dash.open(); err != nil {
				return err
			}
			proof := evidenceFlags{}
			if err := dash.start(g, web.Config{History: s, Packets: proof.packets(s, s.Dir())}); err != nil {
				return errors.Join(err, dash.close())
			}
			<-c.Context().Done()
			return dash.close()
		},
	}
	asked.onlyStore(c)
	dash.flags(c)
	c.Flags().StringVar(&dash.address, "http", "127.0.0.1:8080", "address and port of the dashboard")
	return c
}

// modelsInUse names the models of a run.
func modelsInUse(cfg *sensor.Config) []string {
	var refs []string
	if cfg.Apps != nil {
		refs = append(refs, cfg.Apps.Name)
	}
	if cfg.Anomaly != nil {
		refs = append(refs, cfg.AnomalyName)
	}
	return refs
}

// shownSource names what a run watches, for people.
func shownSource(sources []string) string {
	names := make([]string, 0, len(sources))
	for _, s := range sources {
		names = append(names, filepath.Base(s))
	}
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}
