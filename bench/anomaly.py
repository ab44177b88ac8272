#!/usr/bin/env python3
"""Train and evaluate detectors on captures with known attacks, several seeds.

    bench/anomaly.py --data DEV [--profiles default,paper] [--seeds 1,2,3]

DEV is a directory with anomaly/{mixed_requet,modbus_cset2016,iot_week}. Trained on the normal
traffic before the first attack, tested on what comes after (mixed) or on other captures (modbus).
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

MIXED = "mixed_requet/mixed.pcap.gz"
MODBUS = "modbus_cset2016/send_a_fake_command_modbus_6RTU_with_operate.pcap"


def modbus(name):
    return "modbus_cset2016/%s.pcap" % name, "modbus_cset2016/%s_labeled.csv" % name


# name, window, what to learn from and until when, what to test on with which labels
CASES = [
    ("mixed 0.5 s", "500ms", MIXED, "+3400s", [(MIXED, "mixed_requet/mixed.labels.u8.gz")]),
    ("mixed 5 s", "5s", MIXED, "+3400s", [(MIXED, "mixed_requet/mixed.labels.u8.gz")]),
    ("modbus 0.5 s, two files moved", "500ms", MODBUS, "+288s", [modbus("moving_two_files_modbus_6RTU")]),
    ("modbus 0.5 s, characterization", "500ms", MODBUS, "+288s", [modbus("characterization_modbus_6RTU_with_operate")]),
]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weir", default="bin/weir")
    p.add_argument("--data", required=True)
    p.add_argument("--profiles", default="default,paper")
    p.add_argument("--seeds", default="1,2,3")
    a = p.parse_args()
    base, weir = os.path.join(os.path.abspath(a.data), "anomaly"), os.path.abspath(a.weir)
    print("| case | profile | AUC | average precision | F1 | FPR | attacks found | z-score: AP / F1 |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        common = [weir, "-q", "--models", os.path.join(work, "models")]
        for name, length, learn, until, tests in CASES:
            for profile in a.profiles.split(","):
                got = []
                for seed in a.seeds.split(","):
                    subprocess.run(common + ["train", "anomaly", "-r", os.path.join(base, learn), "--until", until, "--window", length,
                                             "--profile", profile, "--seed", seed], check=True)
                    for capture, labels in tests:
                        out = os.path.join(work, "result.json")
                        subprocess.run(common + ["eval", "anomaly", "-r", os.path.join(base, capture), "--labels", os.path.join(base, labels),
                                                 "--json", out], check=True, stdout=subprocess.DEVNULL)
                        got.append(json.load(open(out)))

                def spread(get):
                    v = [x for x in map(get, got) if x is not None]
                    return "–" if not v else "%.3f ± %.3f" % (statistics.mean(v), statistics.stdev(v) if len(v) > 1 else 0)

                found = statistics.mean(sum(1 for k in r["attacks"] if k["detected"]) for r in got)
                z = got[0]["baseline"]["z_score"]
                number = lambda v: "–" if v is None else "%.3f" % v
                print("| %s | %s | %s | %s | %s | %s | %.1f of %d | %s / %s |" % (
                    name, profile, spread(lambda r: r["p"][0]["auc"]), spread(lambda r: r["p"][0]["average_precision"]),
                    spread(lambda r: r["f1"]), spread(lambda r: r["fpr"]), found, len(got[0]["attacks"]),
                    number(z["p"][0]["average_precision"]), number(z["f1"])), flush=True)


main()
