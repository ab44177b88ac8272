package filter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// TestAgainstTcpdump filters the same packets by the same expressions with tcpdump and wants the same
// packets: the samples of this repository and packets of every kind that a filter can ask for, on
// every link type. WEIR_FILTER_CAPTURES names a directory with more captures.
//
// It needs tcpdump; with WEIR_NEED_TCPDUMP set, as in CI, it fails without.
func TestAgainstTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		if os.Getenv("WEIR_NEED_TCPDUMP") != "" {
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
			passing := 0
			for _, expr := range expressions {
				compareWithTcpdump(t, tcpdump, file, link, expr, all, &passing)
			}
			t.Logf("%d packets, %d expressions; on average %d packets pass", len(all), len(expressions), passing/len(expressions))
		})
	}
}

// compareWithTcpdump compares the packets that pass one expression.
func compareWithTcpdump(t *testing.T, tcpdump, file string, link packet.LinkType, expr string, all []frame, passing *int) {
	p, ourErr := Compile(expr, link, 0)
	want, theirErr := tcpdumpPasses(tcpdump, file, len(all), "", expr)
	switch {
	case ourErr != nil && theirErr != nil:
		if link == packet.LinkEthernet {
			t.Errorf("%q: %v; tcpdump: %v", expr, ourErr, theirErr)
		}
		return
	case ourErr != nil:
		if why := stricter(link, expr); why == "" {
			t.Errorf("%q: %v, and tcpdump takes it", expr, ourErr)
		}
		return
	case theirErr != nil:
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
		// tcpdump's optimiser changes the order in which a packet is looked at, and with it which
		// packets end too soon. Its own program before that decides.
		if unoptimised == nil {
			unoptimised, _ = tcpdumpPasses(tcpdump, file, len(all), "-O", expr)
		}
		if len(unoptimised) == len(all) && got == unoptimised[i] {
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

// stricter says why an expression that tcpdump takes for a link type is refused here: there it
// tests what cannot be meant.
func stricter(link packet.LinkType, expr string) string {
	has := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(expr) }
	switch {
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
