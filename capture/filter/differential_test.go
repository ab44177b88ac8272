package filter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// TestAgainstTcpdump filters the same packets by the same expressions with tcpdump and wants the same
// packets: the samples of this repository and packets of every kind that a filter can ask for, on
// every link type. WEIR_FILTER_CAPTURES names a directory with more captures.
//
// It needs tcpdump; where WEIR_REQUIRE names it, as in CI, it fails without.
func TestAgainstTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		if strings.Contains(os.Getenv("WEIR_REQUIRE"), "tcpdump") {
			t.Fatal(err)
		}
		t.Skip("NOT CHECKED against tcpdump: it is not installed (apt-get install tcpdump)")
	}
	if testing.Short() {
		t.Skip("thousands of runs of tcpdump")
	}
	byLink := map[packet.LinkType][]frame{}
	for _, f := range frames() {
		byLink[f.link] = append(byLink[f.link], f)
	}
	for _, f := range sampleFrames(t) {
		byLink[f.link] = append(byLink[f.link], f)
	}
	expressions := readExpressions(t)
	if len(expressions) < 300 {
		t.Fatalf("%d expressions", len(expressions))
	}
	for link := range linkNames {
		if link == packet.LinkRawBSD || link == packet.LinkRawOpenBSD {
			continue // LinkRaw under other numbers
		}
		t.Run(fmt.Sprint(linkNames[link], " ", link), func(t *testing.T) {
			t.Parallel()
			all := byLink[link]
			if len(all) == 0 {
				t.Fatal("no packets")
			}
			file := writePcap(t, link, all)
			passing, reordered := 0, 0
			expressions := expressions
			if link == packet.LinkEthernet {
				expressions = append(slices.Clone(expressions), combinations(expressions, 150)...)
			}
			for _, expr := range expressions {
				compareWithTcpdump(t, tcpdump, file, link, expr, all, &passing, &reordered)
			}
			t.Logf("%d packets, %d expressions; on average %d packets pass; %d times an optimiser decided on a packet that had ended",
				len(all), len(expressions), passing/len(expressions), reordered)
		})
	}
}

// compareWithTcpdump compares the packets that pass one expression.
func compareWithTcpdump(t *testing.T, tcpdump, file string, link packet.LinkType, expr string, all []frame, passing, reordered *int) {
	p, ourErr := Compile(expr, link, 0)
	want, theirErr := tcpdumpPasses(tcpdump, file, len(all), "", expr)
	switch {
	case ourErr != nil && theirErr != nil:
		if link == packet.LinkEthernet && !strings.HasPrefix(expr, "(") {
			t.Errorf("%q: %v; tcpdump: %v", expr, ourErr, theirErr)
		}
		return
	case ourErr != nil:
		if why := stricter(link, expr); why == "" {
			t.Errorf("%q: %v, and tcpdump takes it", expr, ourErr)
		}
		return
	case theirErr != nil:
		if _, err := os.Stat("/etc/services"); err != nil && strings.Contains(theirErr.Error(), "unknown") {
			return // it has no names to look up
		}
		// tcpdump knows MPLS in PPP under one of PPP's numbers alone.
		if strings.Contains(expr, "mpls") && (link == packet.LinkPPPHDLC || link == packet.LinkPPPD || link == packet.LinkPPPoE) {
			return
		}
		t.Errorf("%q: tcpdump: %v, and weir takes it", expr, theirErr)
		return
	}
	var unoptimised []bool
	wrong := 0
	for i, f := range all {
		got := p.Match(f.data, f.wireLen)
		if got {
			*passing++
		}
		if got == want[i] {
			continue
		}
		// A packet that ends before a byte that is asked for does not pass. Optimisers change the order in which
		// bytes are asked for and leave out what decides nothing: tcpdump's and ours not always alike. Without
		// them both must say the same, and where ours differs from that, the packet has ended.
		if unoptimised == nil {
			unoptimised, _ = tcpdumpPasses(tcpdump, file, len(all), "-O", expr)
		}
		ourPlain, ended := plain(t, expr, link, f)
		if len(unoptimised) == len(all) && ourPlain == unoptimised[i] && (got == ourPlain || ended) {
			*reordered++
			continue
		}
		if wrong++; wrong <= 3 {
			t.Errorf("%q passes packet %d (%d of %d bytes): %v, tcpdump %v\n%x", expr, i, len(f.data), f.wireLen, got, want[i], f.data[:min(len(f.data), 100)])
		}
	}
	if wrong > 3 {
		t.Errorf("%q: %d packets differ", expr, wrong)
	}
}

// plain returns the verdict of a program that has not been optimised, and whether it read beyond the
// packet's end.
func plain(t *testing.T, expr string, link packet.LinkType, f frame) (passes, ended bool) {
	t.Helper()
	e, err := Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	g, err := e.graph(link, false)
	if err != nil {
		t.Fatal(err)
	}
	raw := assemble(g, 2)
	passes = run(&Program{steps: steps(raw)}, f.data, uint32(f.wireLen)) == 2
	for i := range raw {
		if raw[i] == (bpf.RawInstruction{Op: opReturn}) {
			raw[i].K = 1 // a verdict
		}
	}
	return passes, run(&Program{steps: steps(raw)}, f.data, uint32(f.wireLen)) == 0
}

// combinations joins expressions at random, the same way every time, but for those that are always true,
// beside which nothing else is looked at. What vlan, mpls and pppoes move holds for what follows them.
func combinations(expressions []string, n int) []string {
	random := rand.New(rand.NewPCG(1, 3))
	any := func() string {
		for {
			expr := expressions[random.IntN(len(expressions))]
			if p, err := Compile(expr, packet.LinkEthernet, 0); err == nil && !p.Always() {
				return expr
			}
		}
	}
	var all []string
	for range n {
		form := []string{"(%s) and (%s)", "(%s) or (%s)", "(%s) and not (%s)", "(not (%s)) or (%s) and (%[1]s)", "((%s) or (%s)) and not (%[2]s)"}[random.IntN(5)]
		all = append(all, fmt.Sprintf(form, any(), any()))
	}
	return all
}

// stricter says why an expression that tcpdump takes for a link type is refused here: there it
// tests what cannot be meant.
func stricter(link packet.LinkType, expr string) string {
	has := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(expr) }
	switch {
	case has(`pppoes.*(pppoes|ether\[|llc|ether proto)|mpls.*llc`):
		return "what is not behind PPPoE and MPLS"
	case has(`ether\[`) && link != packet.LinkEthernet:
		return "ether[…] on a link without Ethernet header"
	case has(`pppoes|pppoed`) && link != packet.LinkEthernet && link != packet.LinkSLL && link != packet.LinkSLL2 && link != packet.LinkCiscoHDLC:
		return "PPPoE inside PPP, or where nothing can carry it"
	case has(`\b(stp|iso|ipx|netbeui|clnp|esis|es-is|isis|is-is|l1|l2|iih|lsp|snp|csnp|psnp)\b|proto (5|0x42|0xe0|0xfe|170)\b`):
		return "protocols of IEEE 802.2 where there is no such header"
	}
	return ""
}

// tcpdumpPasses returns for each packet whether tcpdump passes it.
func tcpdumpPasses(tcpdump, file string, n int, option, expr string) ([]bool, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	args := []string{"-r", "-", "-w", "-"}
	if option != "" {
		args = append(args, option)
	}
	cmd := exec.Command(tcpdump, append(args, "--", expr)...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &said
	passes := make([]bool, n)
	if err := cmd.Run(); err != nil {
		if strings.Contains(said.String(), "expression rejects all packets") {
			return passes, nil
		}
		return nil, fmt.Errorf("%w: %s", err, said.String())
	}
	b := out.Bytes()
	for b = b[min(24, len(b)):]; len(b) >= 16; {
		i := int(binary.LittleEndian.Uint32(b))*1000000 + int(binary.LittleEndian.Uint32(b[4:]))
		passes[i] = true
		b = b[16+binary.LittleEndian.Uint32(b[8:]):]
	}
	return passes, nil
}

// writePcap writes packets whose times are their numbers in microseconds.
func writePcap(t *testing.T, link packet.LinkType, all []frame) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "packets.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	w := pcapgo.NewWriter(out)
	if err := w.WriteFileHeader(MaxSnapLen, layers.LinkType(link)); err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		ci := gopacket.CaptureInfo{Timestamp: time.UnixMicro(int64(i)), CaptureLength: len(p.data), Length: p.wireLen}
		if err := w.WritePacket(ci, p.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	return name
}

// sampleFrames returns the first packets of every capture there is.
func sampleFrames(t *testing.T) []frame {
	t.Helper()
	perFile := 50
	paths := []string{"../../samples"}
	if dir := os.Getenv("WEIR_FILTER_CAPTURES"); dir != "" {
		paths = append(paths, dir)
		perFile = 2000
	}
	var all []frame
	for _, dir := range paths {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			r, err := capture.Open([]string{path})
			if err != nil {
				return err
			}
			defer r.Close()
			batch := make([]capture.Packet, 100)
			for count := 0; count < perFile; {
				n, err := r.Read(batch)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
				for _, p := range batch[:n] {
					if len(p.Data) <= MaxSnapLen {
						all = append(all, frame{p.Link, slices.Clone(p.Data), p.WireLen})
					}
				}
				count += n
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// readExpressions returns the expressions of testdata/expressions.txt.
func readExpressions(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/expressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}
