package classify

import (
	"bytes"
	"regexp"
	"testing"
)

func TestNormaliser(t *testing.T) {
	const id = "\x01"
	tests := []struct {
		name     string
		n        Normaliser
		in, want string
	}{
		{"as it is", Normaliser{}, "GET /index.html", "GET /index.html"},
		{"hash", Normaliser{Collapse: true}, "sid=deadbeef01;x", "sid=" + id + ";x"},
		{"seven hex digits are no hash", Normaliser{Collapse: true}, "x=deadbee;", "x=deadbee;"},
		{"IPv4 address", Normaliser{Collapse: true}, "Host: 10.0.0.1\r\n", "Host: " + id + "\r\n"},
		{"port stays", Normaliser{Collapse: true}, "Host: 192.168.1.20/80", "Host: " + id + "/80"},
		{"the port after an address too", Normaliser{Collapse: true}, "192.168.1.20:80 ", id + ":80 "},
		{"short number", Normaliser{Collapse: true}, "HTTP/1.1 200 OK 123456", "HTTP/1.1 200 OK 123456"},
		{"long number", Normaliser{Collapse: true}, "t=1465478143.", "t=" + id},
		{"MAC address", Normaliser{Collapse: true}, "[20:f8:5e:ca:91:52]", "[" + id + "]"},
		{"UUID", Normaliser{Collapse: true}, "uuid:Socket-1_0-221517K0101769", "uuid:Socket-1_0-221517K" + id},
		{"UUID of hex", Normaliser{Collapse: true}, "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}", "{" + id + "}"},
		{"the rest moves left", Normaliser{Collapse: true}, "aaaaaaaaaaaaaaaaaaaaz", id + "z"},
		{"runs", Normaliser{Runs: true}, "a\x00\x00\x00\x00\x00\x00\x00b", "a\x00\x00\x00\x00b"},
		{"runs of four stay", Normaliser{Runs: true}, "zzzzy", "zzzzy"},
		{"an identifier ends a run", Normaliser{Collapse: true, Runs: true}, "\x01\x01\x01\x0112345678\x01\x01\x01\x01\x01", "\x01\x01\x01\x01" + id + "\x01\x01\x01\x01"},
		{"empty", Normaliser{Collapse: true, Runs: true, DHCP: true}, "", ""},
	}
	for _, test := range tests {
		test.n.Bytes = 64
		dst := bytes.Repeat([]byte{0xaa}, 64)
		used := test.n.Apply(dst, []byte(test.in))
		if got := string(dst[:used]); got != test.want {
			t.Errorf("%s: Apply(%q) = %q, want %q", test.name, test.in, got, test.want)
		}
		if rest := bytes.Trim(dst[used:], "\x00"); len(rest) > 0 {
			t.Errorf("%s: %q after the end, want zeros", test.name, rest)
		}
	}
}

// dhcpMessage is a DHCP message with a hardware address, a host name and a client identifier.
func dhcpMessage() []byte {
	m := make([]byte, 240)
	copy(m, "\x01\x01\x06\x00")
	copy(m[28:], "\x20\xf8\x5e\xca\x91\x52")
	copy(m[236:], "\x63\x82\x53\x63")
	m = append(m, 53, 1, 1, 0)
	m = append(m, 61, 7, 1, 0x20, 0xf8, 0x5e, 0xca, 0x91, 0x52)
	m = append(m, 12, 5)
	m = append(m, "HS100"...)
	return append(m, 255)
}

func TestNormaliserDHCP(t *testing.T) {
	n := Normaliser{Bytes: 400, DHCP: true, Collapse: true}
	dst := make([]byte, n.Bytes)
	used := n.Apply(dst, dhcpMessage())
	if bytes.Contains(dst, []byte("\x5e\xca\x91\x52")) {
		t.Errorf("the client's hardware address is still there: %x", dst[:used])
	}
	if !bytes.Contains(dst, []byte("HS100")) {
		t.Errorf("the host name is gone: %x", dst[:used])
	}
	// With runs of zeros cut the options come within the first 100 bytes.
	n = Normaliser{Bytes: 100, DHCP: true, Collapse: true, Runs: true}
	used = n.Apply(dst, dhcpMessage())
	if !bytes.Contains(dst[:used], []byte("HS100")) {
		t.Errorf("runs cut: no host name in %x", dst[:used])
	}
	// Options that reach beyond the message are cut, not read.
	cut := dhcpMessage()
	cut = cut[:len(cut)-12]
	n.Apply(dst, cut)
}

var identifiers = []*regexp.Regexp{
	regexp.MustCompile(`^[0-9a-fA-F]{8,}`),
	regexp.MustCompile(`^[0-9.]{7,}`),
	regexp.MustCompile(`^[0-9a-fA-F:-]{11,}`),
}

// normaliseSlowly is Normaliser.Apply in three walks over the whole payload.
func normaliseSlowly(n Normaliser, payload []byte) []byte {
	zeroed := bytes.Clone(payload)
	own := make([]bool, len(payload)) // bytes that were zeroed: no part of an identifier
	if n.DHCP {
		for _, r := range dhcpIdentifiers(payload) {
			for i := r.from; i < min(r.to, len(payload)); i++ {
				zeroed[i], own[i] = 0, true
			}
		}
	}
	// Marks tell the byte that stands for an identifier from a byte of the same value.
	var out []byte
	var mark []bool
	for i := 0; i < len(zeroed); {
		if n.Collapse && !own[i] {
			longest := 0
			for _, class := range identifiers {
				longest = max(longest, len(class.Find(zeroed[i:])))
			}
			if longest > 0 {
				out, mark = append(out, identifier), append(mark, true)
				i += longest
				continue
			}
		}
		out, mark = append(out, zeroed[i]), append(mark, false)
		i++
	}
	if n.Runs {
		var cut []byte
		for i := 0; i < len(out); {
			j := i + 1
			for j < len(out) && !mark[i] && !mark[j] && out[j] == out[i] {
				j++
			}
			// A run goes on behind the identifier's byte only as a new run.
			cut = append(cut, out[i:min(j, i+keepRun)]...)
			i = j
		}
		out = cut
	}
	return out[:min(len(out), n.Bytes)]
}

func FuzzNormaliser(f *testing.F) {
	f.Add([]byte("GET /deadbeef0123 HTTP/1.1\r\nHost: 10.20.30.40:8080\r\n"), uint8(7), uint8(40))
	f.Add(dhcpMessage(), uint8(7), uint8(255))
	f.Add([]byte("00:11:22:33:44:55-66.77.88.99.0000000000000aaaaaaaa"), uint8(3), uint8(30))
	f.Add(append(dhcpMessage()[:27], "01234567890123456789"...), uint8(5), uint8(200))
	f.Fuzz(func(t *testing.T, payload []byte, flags, size uint8) {
		if len(payload) > 2000 {
			return
		}
		n := Normaliser{Bytes: int(size), Collapse: flags&1 != 0, Runs: flags&2 != 0, DHCP: flags&4 != 0}
		before := bytes.Clone(payload)
		dst := make([]byte, n.Bytes)
		used := n.Apply(dst, payload)
		if want := normaliseSlowly(n, payload); !bytes.Equal(dst[:used], want) {
			t.Errorf("%+v.Apply(%q) = %q, the slow twin says %q", n, payload, dst[:used], want)
		}
		if !bytes.Equal(payload, before) {
			t.Errorf("%+v.Apply changed the payload from %q to %q", n, before, payload)
		}
	})
}
