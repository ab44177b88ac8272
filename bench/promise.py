#!/usr/bin/env python3
"""False alarms promised and what came of them, on traffic without attacks.

    bench/promise.py --data DEV [--weir bin/weir] [--alarms 10,2,0.5]

DEV is a directory with anomaly/{mixed_requet,modbus_cset2016,iot23,iot_week}. Each capture is learned from up to a quarter,
a half and three quarters of it and tested on the rest. What is promised is as many false alarms a day as make
--alarms in the part that is learned from: --false-alarms-per-day (the tail is fitted) beside --per-day (the
highest scores seen). Needs editcap and mergecap.
"""
import argparse, datetime, json, os, statistics, subprocess, tempfile

WEEK = ["blink-cam-01", "blink-cam-02", "lockly-hub-01", "sifely-hub-01"]
# name, captures, window in seconds, seconds without attack
CASES = [
    ("mixed 5 s", ["mixed_requet/mixed.pcap.gz"], 5, 0, 3400),
    ("mixed 0.5 s", ["mixed_requet/mixed.pcap.gz"], 0.5, 0, 3400),
    ("iot23 5 s", ["iot23/CTU-IoT-Malware-Capture-42-1.pcap"], 5, 120, 30000),
    ("home 30 s", ["iot_week/%s.pcap" % d for d in WEEK], 30, 0, 604800),
] + [("%s 30 s" % d, ["iot_week/%s.pcap" % d], 30, 0, 604800) for d in WEEK]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weir", default="bin/weir")
    p.add_argument("--data", required=True)
    p.add_argument("--alarms", default="10,2,0.5")
    a = p.parse_args()
    base, weir = os.path.join(os.path.abspath(a.data), "anomaly"), os.path.abspath(a.weir)
    sums = {}
    with tempfile.TemporaryDirectory() as work:
        common = [weir, "-q", "--models", os.path.join(work, "models")]
        none = os.path.join(work, "none.csv")
        open(none, "w").write("id,attack,start,end\n1,none,0,1\n")
        for name, captures, length, begin, seconds in CASES:
            whole, part = os.path.join(work, "whole.pcap"), os.path.join(work, "part.pcap")
            subprocess.run(["mergecap", "-F", "pcap", "-w", whole] + [os.path.join(base, c) for c in captures], check=False, stderr=subprocess.DEVNULL)
            first = subprocess.run([weir, "-q", "features", "-r", whole, "--window", "1s"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split("\n", 2)[1].split(",")[0]
            start = datetime.datetime.fromisoformat(first.replace("Z", "+00:00")).timestamp() + begin
            end = start + seconds - begin
            subprocess.run(["editcap", "-A", "%f" % start, "-B", "%f" % end, whole, part], check=True)
            for quarter in (0.25, 0.5, 0.75):
                learn = quarter * (seconds - begin)
                for alarms in map(float, a.alarms.split(",")):
                    wanted = alarms / learn * 86400
                    for flag in ("--false-alarms-per-day", "--per-day"):
                        t = subprocess.run(common + ["train", "anomaly", "-r", part, "--window", "%gs" % length, "--until", "+%ds" % learn, flag, "%g" % wanted],
                                           stderr=subprocess.PIPE, text=True)
                        if t.returncode:
                            print("%s, %g of it, %s %g: %s" % (name, quarter, flag, wanted, t.stderr.strip().splitlines()[-1]))
                            continue
                        out = os.path.join(work, "result.json")
                        t = subprocess.run(common + ["eval", "anomaly", "-r", part, "--labels", none, "--json", out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                        if t.returncode:
                            print("%s, %g of it: %s" % (name, quarter, t.stderr.strip()))
                            continue
                        r = json.load(open(out))
                        got, expected = r["false_positives"], wanted * r["negative_days"]
                        sums.setdefault((flag, alarms), []).append((got, expected))
                        print("%s, %g of it, %s %.3g: %d false alarms, %.1f promised, threshold %.3g" % (name, quarter, flag, wanted, got, expected, r["threshold"]), flush=True)
    print("\n| alarms in training | threshold | achieved / promised, all together | median | more than three times as many |\n|---|---|---|---|---|")
    for (flag, alarms), v in sorted(sums.items(), key=lambda kv: (-kv[0][1], kv[0][0])):
        print("| %g | `%s` | %.2f | %.2f | %d of %d |" % (alarms, flag, sum(g for g, _ in v) / sum(e for _, e in v),
              statistics.median(g / e for g, e in v), sum(g > 3 * e + 3 for g, e in v), len(v)))


if __name__ == "__main__":
    main()
