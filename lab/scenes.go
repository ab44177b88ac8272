//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/weirnet/weir/packet"
)

// apps records every application alone, round after round, and writes labels.csv. In a round
// all applications run at the same time, each with a client of its own.
func (p *Plan) apps() error {
	const perCapture = 14 // flows with payload
	labels := "file,label,start_utc,end_utc,client,flows,payload_packets\n"
	total := map[string]*Count{}
	for round := 1; round <= p.Rounds; round++ {
		log.Printf("round %d of %d", round, p.Rounds)
		var mu sync.Mutex // of what open's recordings have counted
		open := map[string]*Recording{}
		clients := map[string]string{}
		var wait sync.WaitGroup
		for _, app := range Apps {
			if app.Weight == 0 {
				continue
			}
			r, err := NewRecording(filepath.Join(p.Dir, "apps", fmt.Sprintf("%s-%02d.pcapng.zst", app.Name, round)), Cut{Payloads: 12, PayloadLen: 784, Packets: 40, Whole: true})
			if err != nil {
				return err
			}
			open[app.Name] = r
			s := p.session()
			clients[app.Name] = s.host.Name
			wait.Go(func() {
				time.Sleep(time.Duration(s.rng.Int64N(int64(3 * time.Second))))
				for range 2 * perCapture {
					app.Sit(s)
					mu.Lock()
					count := r.Counts[app.Name]
					enough := count != nil && count.Flows >= perCapture
					mu.Unlock()
					if enough {
						return
					}
					s.pause(250)
				}
			})
		}
		var failed error
		p.wire.Record(func(now time.Time, frame []byte) {
			var h packet.Headers
			h.Decode(packet.LinkEthernet, frame, len(frame))
			label := labelOf(&h)
			mu.Lock()
			defer mu.Unlock()
			if r := open[label]; r != nil {
				if err := r.Add(now, frame, &h, label, ""); err != nil {
					failed = err
				}
			}
		})
		wait.Wait()
		time.Sleep(500 * time.Millisecond)
		p.wire.Record(nil)
		if failed != nil {
			return failed
		}
		for _, app := range Apps {
			r := open[app.Name]
			if r == nil {
				continue
			}
			if err := r.Close(); err != nil {
				return err
			}
			count := r.Counts[app.Name]
			if count == nil {
				return fmt.Errorf("%s: nothing recorded in round %d", app.Name, round)
			}
			labels += fmt.Sprintf("%s-%02d.pcapng.zst,%[1]s,%[3]s,%s,%s,%d,%d\n", app.Name, round, utc(r.Start), utc(r.End), clients[app.Name], count.Flows, count.Payloads)
			if total[app.Name] == nil {
				total[app.Name] = new(Count)
			}
			total[app.Name].add(count)
		}
	}
	printCounts("apps", total)
	return os.WriteFile(filepath.Join(p.Dir, "apps", "labels.csv"), []byte(labels), 0o644)
}

// attack is something in the demo that is not normal.
type attack struct {
	Name       string
	After      time.Duration // since the scene's start
	Command    []string      // of mallory
	Start, End time.Time     // of its first and last packet
}

// attacks are bounded in packets and rate, and aim at the lab's own server.
func (p *Plan) attacks(length time.Duration) []*attack {
	return []*attack{
		{Name: "port_scan", After: length * 2 / 5, Command: strings.Fields("nmap -n -Pn -sS --max-retries 1 --max-rate 120 -p 1-900 10.77.0.2")},
		{Name: "syn_flood", After: length * 7 / 10, Command: strings.Fields("hping3 -q -n -S -p 80 -i u5000 -c 2000 10.77.0.1")},
	}
}

// mixture records all clients at once. Without attacks it is normal traffic, and only headers
// are kept; with attacks it is the demo: the unseen application is in it too, first payloads
// are kept, and every packet of a process carries its name.
func (p *Plan) mixture(name string, length time.Duration, attacks []*attack) error {
	log.Printf("%s: %v", name, length)
	cut := Cut{}
	if attacks != nil {
		cut = Cut{Payloads: 10, PayloadLen: 784}
	}
	r, err := NewRecording(filepath.Join(p.Dir, name+".pcapng.zst"), cut)
	if err != nil {
		return err
	}
	start := time.Now()
	end := start.Add(length)
	var wait sync.WaitGroup
	for _, host := range people {
		for range 2 {
			s := &Session{host, rand.New(rand.NewPCG(p.rng.Uint64(), 0))}
			wait.Go(func() { s.live(start, end) })
		}
	}
	var current *attack // under the wire's lock
	if attacks != nil {
		s := p.session()
		wait.Go(func() {
			time.Sleep(length / 6)
			for time.Now().Before(end.Add(-length / 20)) {
				mqtt(s)
				s.pause(1500)
			}
		})
		wait.Go(func() {
			for _, a := range attacks {
				time.Sleep(time.Until(start.Add(a.After)))
				p.wire.mu.Lock()
				current = a
				p.wire.mu.Unlock()
				out, err := mallory.command(context.Background(), a.Command...).CombinedOutput()
				log.Printf("%s: %v: %s", a.Name, err, bytes.TrimSpace(out))
			}
		})
	}
	attacker := map[packet.Addr]bool{}
	for _, addr := range mallory.Addrs {
		attacker[addrOf(addr)] = true
	}
	var failed error
	p.wire.Record(func(now time.Time, frame []byte) {
		var h packet.Headers
		h.Decode(packet.LinkEthernet, frame, len(frame))
		label := labelOf(&h)
		process := label
		if h.Version != 0 && (attacker[h.Src] || attacker[h.Dst]) {
			if label, process = "", ""; current != nil && h.Proto == packet.TCP {
				label, process = current.Name, current.Command[0]
				if current.Start.IsZero() {
					current.Start = now
				}
				current.End = now
			}
		}
		if attacks == nil {
			process = ""
		}
		if err := r.Add(now, frame, &h, label, process); err != nil {
			failed = err
		}
	})
	time.Sleep(time.Until(end))
	p.wire.Record(nil)
	wait.Wait()
	if err := r.Close(); err != nil || failed != nil {
		return fmt.Errorf("write %s: %v, %v", name, failed, err)
	}
	printCounts(name, r.Counts)
	if attacks == nil {
		return nil
	}
	intervals := "id,attack,start,end\n"
	for i, a := range attacks {
		intervals += fmt.Sprintf("%d,%s,%s,%s\n", i+1, a.Name, seconds(a.Start), seconds(a.End))
	}
	return os.WriteFile(filepath.Join(p.Dir, name+".intervals.csv"), []byte(intervals), 0o644)
}

// live lets a client do one thing after the other, in busier and quieter minutes, until end.
func (s *Session) live(start, end time.Time) {
	var all int
	for _, app := range Apps {
		all += app.Weight
	}
	for time.Now().Before(end) {
		s.pause(1000 * (1 + 0.5*math.Sin(2*math.Pi*time.Since(start).Seconds()/97)))
		if s.upTo(25) == 1 {
			s.run("ping", "-n", "-q", "-c", s.pick("1", "3"), s.name(s.pick("www", "data", "ns")))
		}
		at := s.rng.IntN(all)
		for _, app := range Apps {
			if at -= app.Weight; at < 0 {
				app.Sit(s)
				break
			}
		}
	}
}

// tiny records a few packets of many kinds as a pcap file with microseconds: IPv4 and IPv6, TCP
// with every flag, UDP, ICMP and ICMPv6, fragments, ARP, a VLAN, several mail and web ports.
func (p *Plan) tiny() error {
	log.Print("tiny")
	file, err := os.Create(filepath.Join(p.Dir, "tiny.pcap"))
	if err != nil {
		return err
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	const snapLen, most = 256, 200
	err = w.WriteFileHeader(snapLen, layers.LinkTypeEthernet)
	packets := 0
	p.wire.Record(func(now time.Time, frame []byte) {
		if err == nil && packets < most {
			packets++
			keep := min(len(frame), snapLen)
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: now, CaptureLength: keep, Length: len(frame)}, frame[:keep])
		}
	})
	near, far := &Session{bob, p.rng}, &Session{dave, p.rng}
	for _, step := range []struct {
		who     *Session
		command string
	}{
		{near, "ping -n -q -c 1 -s 3000 www.lab.example"},
		{far, "ping -n -q -c 1 -s 3000 www6.lab.example"},
		{near, "dig @ns.lab.example host7.lab.example"},
		{far, "dig +tcp @ns6.lab.example host7.lab.example"},
		{far, "curl -s -o /dev/null http://www.lab.example/style.css"},
		{near, "curl -s -o /dev/null http://www.lab.example:81/"},
		{near, "curl -sk -o /dev/null https://www6.lab.example/style.css"},
		{far, "curl -s -o /dev/null imap://user1:lab-secret@mail.lab.example/"},
		{near, "swaks -S -q rcpt -s mail.lab.example -f a@lab.example -t b@lab.example -h bob.lab.example"},
		{near, "hping3 -q -n -F -S -P -U -p 465 -c 1 www.lab.example"},
		{near, "hping3 -q -n -R -A -p 995 -s 110 -c 2 -i u10000 www.lab.example"},
		{far, "hping3 -q -n --udp -p 587 -d 40 -c 1 www.lab.example"},
		{far, "ntpdig -s 1 time.lab.example"},
	} {
		step.who.run(strings.Fields(step.command)...)
		time.Sleep(700 * time.Millisecond)
	}
	p.wire.Record(nil)
	log.Printf("tiny: %d packets", packets)
	return err
}
