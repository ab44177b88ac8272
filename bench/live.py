#!/usr/bin/env python3
"""Send captures over a wire at several rates while weir watches, and count what is lost and what it costs.

    CGO_ENABLED=0 go build -o bin/weir ./cmd/weir
    go run ./bench/corpus -kind imix -packets 1000000 -flows 40000 imix.pcap
    go run ./bench/corpus -kind min -packets 1000000 -flows 200000 min.pcap
    sudo bench/live.py [--weir bin/weir] [--rates 100000,200000,0] [--rounds 3] [--cpus same,other]
                       [--apps NAME] [--anomaly NAME] [--models DIR] imix.pcap min.pcap

Needs root, and Debian's iproute2, ethtool, tcpreplay and tcpdump. The wire is a pair of veth interfaces in two network
namespaces of this script's own. The captures should fit into memory, from which tcpreplay sends them; rate 0 is as fast as it can.
"same" is sender and receiver on one processor, as on a machine with nothing to spare; "other" is one each.

weir and tcpdump, which only copies packets to /dev/null, watch in turn; the median of the rounds counts. Processor time is that of the
watching process alone, without what it takes to start and to wait: user time is the program's own work, system time that of the kernel
for it. What the kernel does for each packet before it is in the ring is the sender's time here, and in neither.
With models, weir runs them as well, in rows of their own.
"""
import argparse, os, re, signal, statistics, subprocess, sys, threading, time

from peers import count, machine

NEAR, FAR = "weir-near-%d" % os.getpid(), "weir-far-%d" % os.getpid()


def sh(*command):
    p = subprocess.run(command, capture_output=True, text=True)
    if p.returncode != 0:
        sys.exit("%s: %s" % (" ".join(command), p.stderr))
    return p.stdout


def inside(namespace, *command):
    return ("ip", "netns", "exec", namespace) + command


def wire():
    """Make the two namespaces and what joins them."""
    for namespace in NEAR, FAR:
        sh("ip", "netns", "add", namespace)
    sh(*inside(NEAR, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", FAR))
    for namespace, name in (NEAR, "near"), (FAR, "far"):
        sh(*inside(namespace, "ip", "link", "set", name, "arp", "off", "addrgenmode", "none", "mtu", "9000"))
        sh(*inside(namespace, "ethtool", "-K", name, "gro", "off", "tso", "off", "gso", "off"))
        sh(*inside(namespace, "ip", "link", "set", name, "up"))


class Watcher:
    """A program that watches, once it says that it does."""

    def __init__(self, command, cpu):
        self.process = subprocess.Popen(inside(NEAR, *command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        self.said = ""
        while "listening on" not in self.said:
            line = self.process.stderr.readline()
            if not line:
                sys.exit("%s: %s" % (" ".join(command), self.said))
            self.said += line
        self.reader = threading.Thread(target=lambda: setattr(self, "said", self.said + self.process.stderr.read()))
        self.reader.start()

    def end(self):
        """Stop it and return its user and system seconds, and how many packets it captured and lost."""
        time.sleep(0.3)
        self.process.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.reader.join()
        captured, dropped = re.search(r"(\d+) packets? captured", self.said), re.search(r"(\d+) (?:packets? )?dropped by kernel", self.said)
        if self.process.returncode != 0 or not captured or not dropped:
            sys.exit("%s: status %d: %s" % (self.process.args, self.process.returncode, self.said))
        return usage.ru_utime, usage.ru_stime, int(captured.group(1)), int(dropped.group(1))


def send(path, rate, cpu):
    """Send a capture and return how long it took."""
    speed = ("-t",) if rate == 0 else ("-p", str(rate))
    said = sh("taskset", "-c", str(cpu), *inside(FAR, "tcpreplay", "-q", "--no-flow-stats", "-K", "-i", "far", *speed, path))
    return float(re.search(r"sent in ([0-9.]+) seconds", said).group(1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weir", default="bin/weir")
    p.add_argument("--rates", default="100000,200000,0", help="packets per second; 0: as fast as it goes")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--cpus", default="same,other")
    p.add_argument("--apps", default="")
    p.add_argument("--anomaly", default="")
    p.add_argument("--models", default="models")
    p.add_argument("files", nargs="+")
    a = p.parse_args()
    cpu = os.cpu_count() - 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the namespaces go
    weir = (os.path.abspath(a.weir), "run", "-i", "near", "--workers", "1", "--models", os.path.abspath(a.models), "-o", "/dev/null")
    ways = {"weir": weir, "tcpdump": ("tcpdump", "-i", "near", "-w", "/dev/null", "-B", "65536")}
    if a.apps or a.anomaly:
        ways["weir, with models"] = weir + (("--apps", a.apps) if a.apps else ()) + (("--anomaly", a.anomaly) if a.anomaly else ())
    try:
        wire()
        print(machine())
        idle = {}
        for way, command in ways.items():
            rounds = []
            for _ in range(5):
                watcher = Watcher(command, cpu)
                time.sleep(1)
                rounds.append(watcher.end()[:2])
            idle[way] = [statistics.median(column) for column in zip(*rounds)]
        for path in a.files:
            packets = count(path)
            print("\n%s: %d packets, %d bytes on average\n" % (os.path.basename(path), packets, os.path.getsize(path) / packets - 16))
            print("| sender's processor | wanted per second | program | sent per second | lost | user ns per packet | system ns per packet |")
            print("|---|---|---|---|---|---|---|")
            for where in a.cpus.split(","):
                for rate in map(int, a.rates.split(",")):
                    results = {way: [] for way in ways}
                    for _ in range(a.rounds):
                        for way, command in ways.items():
                            watcher = Watcher(command, cpu)
                            took = send(path, rate, cpu if where == "same" else (cpu - 1) % os.cpu_count())
                            user, system, captured, lost = watcher.end()
                            if way != "tcpdump" and captured + lost != packets:
                                sys.exit("%s: %d packets captured and %d lost of %d" % (way, captured, lost, packets))
                            of = max(captured, 1) / 1e9
                            results[way].append((packets / took, packets - captured, max(user - idle[way][0], 0) / of, max(system - idle[way][1], 0) / of))
                    for way, rounds in results.items():
                        sent, lost, user, system = (statistics.median(column) for column in zip(*rounds))
                        most = max(r[1] for r in rounds)
                        print("| %s | %s | %s | %.0f | %d (at most %d) | %.0f | %.0f |" % (where, rate or "all", way, sent, lost, most, user, system), flush=True)
    finally:
        for namespace in NEAR, FAR:
            subprocess.run(("ip", "netns", "del", namespace), capture_output=True)


if __name__ == "__main__":
    main()
