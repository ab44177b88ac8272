#!/usr/bin/env python3
"""What history costs, and what it answers: a day of a million flows is replayed with and without --store, in turn,
and asked. Prints the CPU time per flow (user and system, of the whole process), medians of the rounds.

    CGO_ENABLED=0 go build -o bin/weir ./cmd/weir
    python3 bench/history.py [--weir bin/weir] [--rounds 5] [--dir /tmp/weir-history]
"""
import argparse, os, random, shutil, statistics, struct, subprocess, time

FLOWS = 1_000_000
START = 1795305600 * 10**9  # 2026-11-22


def capture(path):
    """Writes a capture of two to four packets a flow: 5,000 inner hosts and 20,000 outer ones, some busy and most not."""
    r = random.Random(7)
    inner = [bytes([10, 0, i >> 8, i & 255]) for i in range(5000)]
    outer = [bytes([r.randint(11, 200), r.randrange(256), r.randrange(256), r.randrange(256)]) for _ in range(20000)]
    ports = [443, 80, 53, 22, 123, 8080, 993, 3389]

    def frame(src, dst, sport, dport, n):
        ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 28 + n, 0, 0, 64, 17, 0, src, dst)
        return b'\2\0\0\0\0\1\2\0\0\0\0\2\x08\0' + ip + struct.pack('>HHHH', sport, dport, 8 + n, 0) + b'x' * n

    with open(path, 'wb', 1 << 20) as out:
        out.write(struct.pack('<IHHiIII', 0xa1b23c4d, 2, 4, 0, 0, 65535, 1))
        for i in range(FLOWS):
            src, dst = inner[int(r.expovariate(1 / 500)) % 5000], outer[int(r.expovariate(1 / 2000)) % 20000]
            sport, dport = 32768 + r.randrange(30000), ports[int(r.expovariate(.5)) % 8]
            for k in range(r.choice((2, 2, 3, 4))):
                n = r.randrange(10, 120)
                data = frame(src, dst, sport, dport, n) if k % 2 == 0 else frame(dst, src, dport, sport, n)
                at = START + i * (86400 * 10**9 // FLOWS) + 1000 * k
                out.write(struct.pack('<IIII', at // 10**9, at % 10**9, len(data), len(data)) + data)


def run(*command):
    """Returns CPU seconds, wall seconds and megabytes of a command."""
    began = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(p.pid, 0)
    if status != 0:
        raise SystemExit(f'{command} failed')
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--weir', default='bin/weir')
    args.add_argument('--rounds', type=int, default=5)
    args.add_argument('--dir', default='/tmp/weir-history')
    a = args.parse_args()
    os.makedirs(a.dir, exist_ok=True)
    pcap, store, events = (os.path.join(a.dir, name) for name in ('day.pcap', 'store', 'events.jsonl'))
    if not os.path.exists(pcap):
        capture(pcap)
    ways = {
        'events alone': ['-o', events],
        'events and history': ['-o', events, '--store', store],
        'history alone': ['--store', store],
    }
    took = {name: [] for name in ways}
    for _ in range(a.rounds):
        for name, flags in ways.items():
            shutil.rmtree(store, ignore_errors=True)
            took[name].append(run(a.weir, 'run', '-q', '-r', pcap, *flags))
    for name, rounds in took.items():
        cpu, wall, memory = (statistics.median(column) for column in zip(*rounds))
        print(f'{name:20} {cpu / FLOWS * 1e6:5.2f} µs of CPU per flow, {wall:5.2f} s, {memory:4.0f} MB')
    pairs = [(b[0] - a[0]) / FLOWS * 1e6 for a, b in zip(took['events alone'], took['events and history'])]
    print(f'{"history costs":20} {statistics.median(pairs):5.2f} µs of CPU per flow (by round: {", ".join(f"{p:.2f}" for p in pairs)})')
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(store) for f in files)
    print(f'{"it takes":20} {size / FLOWS:5.1f} bytes per flow')
    for name, flags in {
        'top apps, 24 h': ['top', 'apps'],
        'top hosts, 24 h': ['top', 'hosts'],
        'top ports, 24 h': ['top', 'ports'],
        'flows of a busy host': ['flows', '--host', '10.0.0.1'],
        'flows of a rare host': ['flows', '--host', '10.0.15.1'],
        'the newest 100 flows': ['flows', '--newest', '--limit', '100'],
        'all flows as JSON': ['flows', '--json'],
    }.items():
        rounds = [run(a.weir, *flags, '-q', '--store', store) for _ in range(a.rounds)]
        cpu, wall, memory = (statistics.median(column) for column in zip(*rounds))
        print(f'{name:20} {wall * 1000:5.0f} ms, {cpu * 1000:5.0f} ms of CPU, {memory:4.0f} MB')


if __name__ == '__main__':
    main()
