#!/usr/bin/env python3
"""What both models cost on real captures: processor time per packet with and without them, and how many flows get a label.

    CGO_ENABLED=0 go build -o bin/weir ./cmd/weir
    bin/weir train apps --data DEV/classification/iot_sentinel --model iot
    bin/weir train anomaly -r DEV/anomaly/mixed_requet/mixed.pcap.gz --window 500ms --until +3400s --model mixed
    bench/models.py [--weir bin/weir] [--models models] --apps iot --anomaly mixed [--rounds 3] DIR|FILE…

Each capture is a run of its own, with one worker, without models, with each and with both, in turn; the median of the rounds
counts. What a run takes on an empty capture, models loaded, is taken off. Printed is a Markdown table with a row per argument: directories
are searched for pcap and pcapng files. A flow can have a label when it is of TCP or
UDP and has payload; fragments whose first one is missing have none.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

from peers import machine

EMPTY = bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000")


def captures(path):
    if os.path.isfile(path):
        return [path]
    return sorted(os.path.join(d, f) for d, _, files in os.walk(path) for f in files if f.split(".")[1:] and f.split(".")[1] in ("pcap", "pcapng", "cap"))


def run(command, cpu):
    """Run weir on one processor and return its processor seconds and its events' lines."""
    with tempfile.NamedTemporaryFile() as out:
        p = subprocess.Popen(command + ["-o", out.name], stderr=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        said = p.stderr.read().decode()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        if p.returncode not in (0, 3):  # 3: a capture that is cut short
            sys.exit("%s: %s" % (" ".join(command), said))
        return usage.ru_utime + usage.ru_stime, out.read().splitlines()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weir", default="bin/weir")
    p.add_argument("--models", default="models")
    p.add_argument("--apps", required=True)
    p.add_argument("--anomaly", required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--cpu", type=int, default=os.cpu_count() - 1)
    p.add_argument("inputs", nargs="+")
    a = p.parse_args()
    ways = {"none": [], "apps": ["--apps", a.apps], "anomaly": ["--anomaly", a.anomaly], "both": ["--apps", a.apps, "--anomaly", a.anomaly]}
    version = subprocess.run([a.weir, "version"], capture_output=True, text=True).stdout.split("\n")
    print(machine() + "; " + ", ".join(line.strip() for line in version if line))

    def command(capture, flags):
        return [a.weir, "run", "-q", "--workers", "1", "--models", a.models, "-r", capture] + flags

    with tempfile.NamedTemporaryFile(suffix=".pcap") as empty:
        empty.write(EMPTY)
        empty.flush()
        start = {way: statistics.median(run(command(empty.name, flags), a.cpu)[0] for _ in range(9)) for way, flags in ways.items()}
    print("start, taken off: " + ", ".join("%s %.0f ms" % (way, s * 1e3) for way, s in start.items()) + "\n")
    print("| captures | packets | payload packets judged | TCP and UDP flows with payload | of them labelled | windows | µs per packet: " + " | ".join(ways) + " | packets per second and core, both |")
    print("|" + "---|" * (7 + len(ways)))
    for path in a.inputs:
        files = captures(path)
        rounds = {way: [] for way in ways}
        for _ in range(a.rounds):
            count = dict.fromkeys(("packets", "judged", "flows", "labelled", "windows"), 0)
            sums = dict.fromkeys(ways, 0.0)
            for f in files:
                for way, flags in ways.items():
                    seconds, lines = run(command(f, flags), a.cpu)
                    sums[way] += seconds - start[way]
                for line in map(json.loads, lines):  # of the last way, which is both
                    if line["event_type"] == "flow":
                        flow = line["flow"]
                        if line["proto"] in ("TCP", "UDP") and line["src_port"] + line["dest_port"] > 0 and flow["payload_bytes_toserver"] + flow["payload_bytes_toclient"] > 0:
                            count["flows"] += 1
                            count["labelled"] += "app" in flow
                            count["judged"] += flow.get("label_packets", 0)
                count["packets"] += json.loads(lines[-1])["stats"]["packets"]
                count["windows"] += json.loads(lines[-1])["stats"]["windows"]
            for way in ways:
                rounds[way].append(sums[way] / count["packets"])
        each = {way: statistics.median(r) for way, r in rounds.items()}
        print("| %s (%d) | %d | %d | %d | %d (%.2f %%) | %d | %s | %.0f |" % (
            os.path.basename(path.rstrip("/")), len(files), count["packets"], count["judged"], count["flows"], count["labelled"],
            100 * count["labelled"] / max(count["flows"], 1), count["windows"],
            " | ".join("%.2f" % (each[way] * 1e6) for way in ways), 1 / each["both"]), flush=True)


if __name__ == "__main__":
    main()
