#!/usr/bin/env python3
"""Give weir traffic that is meant to exhaust it (bench/attack), and measure processor time and memory.

    bench/attack.py [--weir bin/weir] [--corpus bin/corpus] [--path bin/path] [--packets 2000000] [--rounds 3] [--kinds …]
                    [--flow-memory 64MiB] [--model NAME --models DIR]

Printed is a Markdown table: for each kind of traffic the nanoseconds of processor time per packet, how many times those
of the first kind that is (the mix of a border link), and the most memory of weir's own (anonymous pages), once for the packet path alone (flows
and windows; the program of bench/path, if it is given) and once for "weir run" with its events. All packets must be
counted, or the script stops.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

from peers import machine, measure

KINDS = "imix,normal,small,large,flows,answers,scan,fragments,nested,noise,clock"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weir", default="bin/weir")
    p.add_argument("--corpus", default="bin/corpus")
    p.add_argument("--path", default="")
    p.add_argument("--packets", type=int, default=2_000_000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--kinds", default=KINDS)
    p.add_argument("--flow-memory", default="", help="cap of the table of flows (default: weir's)")
    p.add_argument("--model", default="", help="detector of anomalies that runs as well")
    p.add_argument("--models", default="models")
    p.add_argument("--cpu", type=int, default=os.cpu_count() - 1)
    a = p.parse_args()
    kinds = a.kinds.split(",")
    with tempfile.TemporaryDirectory() as work:
        capture, events = os.path.join(work, "attack.pcap"), os.path.join(work, "events.jsonl")
        run = [a.weir, "run", "-q", "-r", capture, "--workers", "1"]
        if a.flow_memory:
            run += ["--flow-memory", a.flow_memory]
        if a.model:
            run += ["--models", a.models, "--anomaly", a.model]
        ways = [("run", run + ["-o", "/dev/null"])]
        if a.path:
            ways.insert(0, ("path", [a.path, "-workers", "1", "-rounds", "1", capture]))
        results = {}
        for kind in kinds:
            subprocess.run([a.corpus, "-kind", kind, "-packets", str(a.packets), capture], check=True)
            for _ in range(a.rounds):
                for way, command in ways:
                    seconds, memory = measure(command, a.cpu)
                    results.setdefault((kind, way), []).append((seconds / a.packets * 1e9, memory))
            subprocess.run(run + ["-o", events], check=True)
            with open(events, "rb") as f:  # the last line is the last stats
                f.seek(max(0, os.path.getsize(events) - (1 << 16)))
                stats = json.loads(f.read().splitlines()[-1])["stats"]
            os.remove(events)
            if stats["packets"] != a.packets:
                sys.exit("%s: %d packets of %d were counted" % (kind, stats["packets"], a.packets))
            results[kind] = ", ".join("%s %d" % d for d in sorted({**stats["drops"], **stats["decode_errors"]}.items())) or "nothing"
    print(machine())
    print("%d packets of each kind, %s of flow memory for run\n" % (a.packets, a.flow_memory or "the default"))
    print("| traffic |" + "".join(" %s: ns of CPU per packet | times %s | most memory |" % (way, kinds[0]) for way, _ in ways) + " dropped, and why |")
    print("|---|" + "---|---|---|" * len(ways) + "---|")
    for kind in kinds:
        row = "| %s |" % kind
        for way, _ in ways:
            ns = statistics.median(n for n, _ in results[kind, way])
            memory = statistics.median(m for _, m in results[kind, way])
            first = statistics.median(n for n, _ in results[kinds[0], way])
            row += " %.0f | %.1f | %.0f MB |" % (ns, ns / first, memory / 1e6)
        print(row + " %s |" % results[kind])


if __name__ == "__main__":
    main()
