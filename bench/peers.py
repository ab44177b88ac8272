#!/usr/bin/env python3
"""Run weir beside the programs that read the same captures, in turn, and compare their processor time.

    go run ./bench/corpus -kind imix imix.pcap; go run ./bench/corpus -kind min min.pcap
    bench/peers.py [--weir bin/weir] [--path bin/path] [--rounds 3] [--programs weir,tcpdump,…] imix.pcap min.pcap

Needs Debian's tcpdump, tshark (with capinfos), nfdump (nfpcapd), softflowd and argus-server; those that are not
there are left out and named. Every program runs on one processor, alone as far as this script can tell, with the
capture in the page cache: one after the other in each round, the median of the rounds counts.
Printed are Markdown tables: nanoseconds of processor time (user and system) per packet, how many times that of the
first program this is, and the most memory of its own (anonymous pages; the pages of a mapped capture are the page
cache's).

The programs do different work. tshark is slow and keeps every packet: it gets the first --few packets alone, and
its start, as measured on an empty capture, is taken off. FILE is a pcap file, neither pcapng nor compressed.
"""
import argparse, os, platform, shutil, statistics, struct, subprocess, sys, tempfile, threading, time

# name, command, what it does; F is the capture, D a directory of its own, W the weir, P the program of bench/path
PROGRAMS = [
    ("path", "P -workers 1 -rounds 1 F", "weir's packet path: flows and windows, nothing written"),
    ("features", "W features -q -r F --window 5s --workers 1 -o /dev/null", "weir: 53 features per window, as CSV"),
    ("flows", "W flows -q -r F --workers 1 -o /dev/null", "weir: flows, as JSON lines"),
    ("run", "W run -q -r F --workers 1 -o /dev/null", "weir: flows and counts, as JSON lines"),
    ("tcpdump", "tcpdump -r F -w /dev/null", "copies packets"),
    ("capinfos", "capinfos -c F", "counts packets"),
    ("nfpcapd", "nfpcapd -r F -w D", "flows, written in its binary form"),
    ("softflowd", "softflowd -r F -m 2000000", "flows, counted"),
    ("argus", "argus -r F -w /dev/null", "flows with performance metrics, in its binary form"),
    ("tshark", "tshark -q -r F -z io,stat,0", "dissects every packet"),
]
SLOW = {"tshark"}


def head(source, packets, target):
    """Copy the first packets of a pcap file and return how many there were."""
    with open(source, "rb") as f, open(target, "wb") as out:
        header = f.read(24)
        order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}.get(header[:4])
        if order is None:
            sys.exit("%s: not a pcap file" % source)
        out.write(header)
        n = 0
        while n < packets:
            record = f.read(16)
            if len(record) < 16:
                break
            out.write(record + f.read(struct.unpack(order + "I", record[8:12])[0]))
            n += 1
    return n


def count(path):
    """Return the number of packets of a pcap file."""
    n = 0
    with open(path, "rb") as f:
        order = "<" if f.read(24)[0] in (0xd4, 0x4d) else ">"
        size = os.fstat(f.fileno()).st_size
        at = 24
        while at + 16 <= size:
            record = f.read(16)
            at += 16 + struct.unpack(order + "I", record[8:12])[0]
            f.seek(at)
            n += 1
    return n


def measure(command, cpu):
    """Run a command on one processor and return its processor seconds and the most memory of its own in bytes."""
    most = [0]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), env=dict(os.environ, GOMAXPROCS="1"))

    def watch():
        while process.returncode is None:
            try:
                for line in open("/proc/%d/status" % process.pid):
                    if line.startswith("RssAnon:"):
                        most[0] = max(most[0], int(line.split()[1]) << 10)
            except OSError:
                return
            time.sleep(0.01)

    said = []
    threads = [threading.Thread(target=watch), threading.Thread(target=lambda: said.append(process.stderr.read()))]
    for t in threads:
        t.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for t in threads:
        t.join()
    if process.returncode != 0:
        sys.exit("%s: exit status %d: %s" % (" ".join(command), process.returncode, said[0].decode(errors="replace")[-400:]))
    return usage.ru_utime + usage.ru_stime, most[0]


def version(program):
    package = {"capinfos": "wireshark-common", "nfpcapd": "nfdump", "argus": "argus-server"}.get(program, program)
    p = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return p.stdout.strip() or "unknown"


def machine():
    model = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    memory = int(next(l.split()[1] for l in open("/proc/meminfo") if l.startswith("MemTotal"))) >> 20
    return "%s, %d processors, %d GiB, Linux %s" % (model, os.cpu_count(), memory, platform.release())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weir", default="bin/weir")
    p.add_argument("--path", default="", help="the program of bench/path, built; left out without")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--few", type=int, default=200_000, help="packets for what is slow")
    p.add_argument("--cpu", type=int, default=os.cpu_count() - 1)
    p.add_argument("--programs", default=",".join(name for name, _, _ in PROGRAMS))
    p.add_argument("files", nargs="+")
    a = p.parse_args()
    wanted = a.programs.replace("weir", "path,features,flows,run").split(",")
    weir, missing, programs = os.path.abspath(a.weir), [], []
    for name, command, does in PROGRAMS:
        if name not in wanted:
            continue
        binary = {"W": weir, "P": a.path and os.path.abspath(a.path)}.get(command.split()[0], command.split()[0])
        if not binary or not shutil.which(binary):
            missing.append(name)
            continue
        programs.append((name, [binary] + command.split()[1:], does))
    print(machine())
    print(", ".join("%s %s" % (name, version(name)) for name, command, _ in programs if command[0] != weir and name != "path"))
    print("not here: %s" % (", ".join(missing) or "none"))
    results = {}
    with tempfile.TemporaryDirectory() as work:
        for path in a.files:
            few = os.path.join(work, "few.pcap")
            empty = os.path.join(work, "empty.pcap")
            total, part = count(path), head(path, a.few, few)
            head(path, 0, empty)
            for _ in range(a.rounds):
                for name, command, _ in programs:
                    capture, packets = (few, part) if name in SLOW else (path, total)
                    with open(capture, "rb") as f:  # into the page cache
                        while f.read(1 << 24):
                            pass

                    def run(capture):
                        d = tempfile.mkdtemp(dir=work)
                        return measure([{"F": capture, "D": d}.get(word, word) for word in command], a.cpu)

                    seconds, memory = run(capture)
                    if name in SLOW:
                        seconds -= run(empty)[0]
                    results.setdefault((path, name), []).append((seconds / packets * 1e9, memory))
            os.remove(few)
    for path in a.files:
        print("\n%s: %d packets, %.1f MB\n" % (os.path.basename(path), count(path), os.path.getsize(path) / 1e6))
        base = programs[0][0]
        print("| program | does | ns of CPU per packet | M packets per CPU second | times that of %s | most memory |" % base)
        print("|---|---|---|---|---|---|")
        middle = {name: statistics.median(ns for ns, _ in results[path, name]) for name, _, _ in programs}
        for name, _, does in programs:
            ns, memory = middle[name], statistics.median(m for _, m in results[path, name])
            print("| %s | %s | %.0f | %.2f | %.2f | %.0f MB |" % (name, does, ns, 1e3 / ns, ns / middle[base], memory / 1e6))


if __name__ == "__main__":
    main()
