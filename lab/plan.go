//go:build linux

package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"text/tabwriter"
	"time"
)

// Plan says what to record. Each part is a scene on the same hosts, one after the other.
type Plan struct {
	Dir          string
	Rounds       int // captures per application
	Normal, Demo time.Duration
	Tiny         bool
	Seed         uint64

	wire *Wire
	rng  *rand.Rand
}

// The hosts of the lab: one with all servers, the clients, near and far, and one that attacks.
var (
	server = &Host{Name: "server", TTL: 64, Stamps: true, Delay: 150 * time.Microsecond, Jitter: 50 * time.Microsecond, Addrs: []string{
		"10.77.0.1/16", "10.77.0.2/16", "10.77.0.3/16", "10.77.0.4/16", "10.77.0.5/16",
		"fd77::1/64", "fd77::2/64", "fd77::3/64", "fd77::4/64", "fd77::5/64",
	}}
	alice   = &Host{Name: "alice", TTL: 64, Stamps: true, Delay: 300 * time.Microsecond, Jitter: 100 * time.Microsecond, Addrs: []string{"10.77.0.11/16", "fd77::11/64"}}
	bob     = &Host{Name: "bob", TTL: 128, Delay: 2 * time.Millisecond, Jitter: 500 * time.Microsecond, Addrs: []string{"10.77.0.12/16", "fd77::12/64"}}
	carol   = &Host{Name: "carol", TTL: 64, Stamps: true, Delay: 9 * time.Millisecond, Jitter: 3 * time.Millisecond, Loss: 0.002, Addrs: []string{"10.77.0.13/16", "fd77::13/64"}}
	dave    = &Host{Name: "dave", TTL: 64, Stamps: true, Delay: 20 * time.Millisecond, Jitter: 4 * time.Millisecond, VLAN: 77, Addrs: []string{"10.77.0.14/16", "fd77::14/64"}}
	mallory = &Host{Name: "mallory", TTL: 64, Stamps: true, Delay: time.Millisecond, Jitter: 100 * time.Microsecond, Addrs: []string{"10.77.0.66/16", "fd77::66/64"}}
	people  = []*Host{alice, bob, carol, dave}
)

// Record makes the hosts, starts the servers and plays the scenes. It is the first process of
// its namespaces.
func (p *Plan) Record() error {
	p.rng = rand.New(rand.NewPCG(p.Seed, 0))
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	const dir = "/srv"
	if err := furnish(dir); err != nil {
		return err
	}
	if err := furnishServers(dir, p.rng); err != nil {
		return err
	}
	wire, err := NewWire(append([]*Host{server, mallory}, people...), p.Seed)
	if err != nil {
		return err
	}
	p.wire = wire
	log.Print("starting the servers")
	if out, err := server.command(context.Background(), "sh", dir+"/conf/serve.sh").CombinedOutput(); err != nil || len(out) > 0 {
		return fmt.Errorf("start servers: %v: %s", err, out)
	}
	for _, scene := range []struct {
		on   bool
		play func() error
	}{
		{p.Tiny, p.tiny},
		{p.Rounds > 0, p.apps},
		{p.Normal > 0, func() error { return p.mixture("normal", p.Normal, nil) }},
		{p.Demo > 0, func() error { return p.mixture("demo", p.Demo, p.attacks(p.Demo)) }},
	} {
		if scene.on {
			if err := scene.play(); err != nil {
				return err
			}
		}
	}
	return nil
}

// session returns a client at some host.
func (p *Plan) session() *Session {
	return &Session{people[p.rng.IntN(len(people))], rand.New(rand.NewPCG(p.rng.Uint64(), 0))}
}

func (c *Count) add(d *Count) {
	c.Flows += d.Flows
	c.Packets += d.Packets
	c.Payloads += d.Payloads
	c.PayloadBytes += d.PayloadBytes
}

// printCounts prints a table of what was recorded.
func printCounts(name string, counts map[string]*Count) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\tflows\tpackets\twith payload\tpayload bytes\t\n", name)
	labels := []string{}
	for _, app := range Apps {
		labels = append(labels, app.Name)
	}
	for _, label := range append(labels, "port_scan", "syn_flood") {
		if c := counts[label]; c != nil {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t\n", label, c.Flows, c.Packets, c.Payloads, c.PayloadBytes)
		}
	}
	t.Flush()
}

func utc(t time.Time) string     { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
func seconds(t time.Time) string { return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000) }
