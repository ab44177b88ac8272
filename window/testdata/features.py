"""The 53 features once more, written from docs/formats.md alone, to hold samples/tiny.features.csv to it:

    python3 window/testdata/features.py samples/tiny.pcap 2 samples/tiny.features.csv

Reads a little-endian Ethernet pcap in microseconds or nanoseconds; prints the rows that differ.
"""
import csv, datetime, struct, sys
from collections import defaultdict

FLAGS = {"syn": 2, "fin": 1, "psh": 8, "rst": 4, "urg": 32, "ack": 16,
         "fin_ack": 17, "rst_ack": 20, "syn_ack": 18, "psh_ack": 24}
PORTS = (110, 22, 53, 443, 80, 25, 465, 587, 995, 993, 143)


def frames(path):
    data = open(path, "rb").read()
    scale = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[struct.unpack_from("<I", data)[0]]
    at = 24
    while at < len(data):
        seconds, fraction, kept, wire = struct.unpack_from("<IIII", data, at)
        yield seconds * 10**9 + fraction * scale, data[at + 16:at + 16 + kept], wire
        at += 16 + kept


def decode(frame, wire):
    """size, ttl, source, destination, protocol, transport bytes (None: a later fragment)"""
    at = 12
    while struct.unpack_from(">H", frame, at)[0] in (0x8100, 0x88A8):
        at += 4
    kind, ip = struct.unpack_from(">H", frame, at)[0], frame[at + 2:]
    if kind == 0x0800:
        size, _, fragment, ttl, proto = struct.unpack_from(">HHHBB", ip, 2)
        body = None if fragment & 0x1FFF else ip[(ip[0] & 15) * 4:size]
        return size or wire - at - 2, ttl, ip[12:16], ip[16:20], proto, body
    if kind == 0x86DD:
        payload, proto, ttl = struct.unpack_from(">HBB", ip, 4)
        size, at, later = 40 + payload, 40, False
        while proto in (0, 43, 44, 60):
            if proto == 44:
                later = struct.unpack_from(">H", ip, at + 2)[0] >> 3 != 0
            proto, at = ip[at], at + (8 if proto == 44 else 8 + 8 * ip[at + 1])
            if later:
                break
        return size, ttl, ip[8:24], ip[24:40], proto, None if later else ip[at:size]
    return None


def features(packets):
    sizes, ttls = [p[0] for p in packets], [p[1] for p in packets]
    mean = lambda x: sum(x) / len(x) if x else 0
    variance = lambda x: mean([(v - mean(x)) ** 2 for v in x])
    flags, tcp, icmp, udp = defaultdict(int), 0, 0, 0
    src, dst = defaultdict(int), defaultdict(int)
    for _, _, _, _, proto, body in packets:
        tcp, udp, icmp = tcp + (proto == 6), udp + (proto == 17), icmp + (proto in (1, 58))
        if proto in (6, 17) and body and len(body) >= 4:
            ports = struct.unpack_from(">HH", body)
            src[ports[0]] += 1
            dst[ports[1]] += 1
        if proto == 6 and body and len(body) >= 14:
            for name, bits in FLAGS.items():
                flags[name] += body[13] & bits == bits
    row = {"packet_size_mean": mean(sizes), "packets": len(packets), "packet_size_var": variance(sizes),
           "ttl_mean": mean(ttls), "ttl_var": variance(ttls), "icmp": icmp, "udp": udp,
           "dst_ips": len({p[3] for p in packets}), "src_ips": len({p[2] for p in packets}),
           "src_ports": len(src), "dst_ports": len(dst)}
    for name in FLAGS:
        row[name] = flags[name]
        row[name + "_share"] = flags[name] / tcp if tcp else 0
    for port in PORTS:
        row[f"src_port_{port}"], row[f"dst_port_{port}"] = src.get(port, 0), dst.get(port, 0)
    return row


def main(capture, seconds, published):
    length = int(float(seconds) * 10**9)
    windows = defaultdict(list)
    for nanos, frame, wire in frames(capture):
        packet = decode(frame, wire)
        if packet:
            windows[nanos // length].append(packet)
    rows = list(csv.DictReader(open(published)))
    want = range(min(windows), max(windows) + 1)
    ok = len(rows) == len(want)
    for index, row in zip(want, rows):
        start = datetime.datetime.fromisoformat(row.pop("start").replace("Z", "+00:00"))
        computed = features(windows[index])
        differ = {k: (row.get(k), v) for k, v in computed.items() if k not in row or abs(float(row[k]) - v) > 1e-9 * max(1, abs(v))}
        if differ or len(row) != 53 or len(computed) != 53 or start.timestamp() != index * length / 1e9:
            ok = False
            print(start, "published, computed:", differ)
    print(f"{len(rows)} rows", "agree" if ok else "DIFFER")
    return 0 if ok else 1


sys.exit(main(*sys.argv[1:]))
