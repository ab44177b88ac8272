#!/usr/bin/env python3
"""Train and evaluate the application models on captures kept apart, several seeds.

    bench/apps.py --data DEV [--sets iot,unknown,ustc,mobile] [--profiles default,paper] [--seeds 1,2,3]

DEV is a directory with classification/{iot_sentinel,ustc_tfc2016,but_mobile}. Each set is cut into
training and test captures before weir sees it:

  iot      per label, captures in order of start_utc: the first 75 % train, the last 25 % test
  unknown  the same, with five labels left out of training and kept in the test
  ustc     images by hash of their bytes: identical images on one side, a quarter tests
  mobile   but_mobile: Android 7.1 and the single captures train, Android 8.1 tests

weir splits the training part once more to validate; the test part is what it never saw.
"""
import argparse, csv, gzip, hashlib, json, os, statistics, struct, subprocess, sys, tempfile, time

# Labels without a near twin (same maker and firmware) among the others.
UNKNOWN = {"Aria", "EdnetGateway", "Lightify", "MAXGateway", "Withings"}


def write_labels(folder, source, rows):
    os.makedirs(folder)
    os.symlink(source, os.path.join(folder, os.path.basename(source)))
    with open(os.path.join(folder, "labels.csv"), "w", newline="") as f:
        w = csv.DictWriter(f, rows[0].keys())
        w.writeheader()
        w.writerows(rows)


def by_captures(work, source, tests, drop=lambda r: False):
    rows = list(csv.DictReader(open(os.path.join(source, "labels.csv"))))
    test = tests(rows)
    write_labels(os.path.join(work, "train"), source, [r for r in rows if r["file"] not in test and not drop(r)])
    write_labels(os.path.join(work, "test"), source, [r for r in rows if r["file"] in test])


def last_quarter(rows):
    test = set()
    for label in {r["label"] for r in rows}:
        mine = sorted((r for r in rows if r["label"] == label), key=lambda r: r["start_utc"])
        test |= {r["file"] for r in mine[(3 * len(mine) + 3) // 4:]}
    return test


def images(work, source):
    def idx(name):
        data = gzip.open(os.path.join(source, name)).read()
        dims = struct.unpack(">%dI" % data[3], data[4:4 + 4 * data[3]])
        return dims, data[4 + 4 * data[3]:]
    dims, pixels = idx("session_l7_images-idx3-ubyte.gz")
    _, labels = idx("session_l7_labels-idx1-ubyte.gz")
    size = dims[1] * dims[2]
    for side in ("train", "test"):
        os.makedirs(os.path.join(work, side))
        take = [i for i in range(dims[0]) if (hashlib.sha256(pixels[i * size:(i + 1) * size]).digest()[0] < 64) == (side == "test")]
        with open(os.path.join(work, side, "x-images-idx3-ubyte"), "wb") as f:
            f.write(struct.pack(">4I", 0x803, len(take), dims[1], dims[2]) + b"".join(pixels[i * size:(i + 1) * size] for i in take))
        with open(os.path.join(work, side, "x-labels-idx1-ubyte"), "wb") as f:
            f.write(struct.pack(">2I", 0x801, len(take)) + bytes(labels[i] for i in take))


def prepare(name, data, work):
    base = os.path.join(data, "classification")
    if name == "iot":
        by_captures(work, os.path.join(base, "iot_sentinel"), last_quarter)
    elif name == "unknown":
        by_captures(work, os.path.join(base, "iot_sentinel"), last_quarter, lambda r: r["label"] in UNKNOWN)
    elif name == "mobile":
        by_captures(work, os.path.join(base, "but_mobile"), lambda rows: {r["file"] for r in rows if "android81" in r["file"]})
    elif name == "ustc":
        images(work, os.path.join(base, "ustc_tfc2016"))
    else:
        sys.exit("unknown set " + name)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weir", default="bin/weir")
    p.add_argument("--data", required=True)
    p.add_argument("--sets", default="iot,unknown,ustc,mobile")
    p.add_argument("--profiles", default="default,paper")
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--int8", action="store_true", help="tell on stderr what int8 costs on the test part")
    a = p.parse_args()
    data, weir = os.path.abspath(a.data), os.path.abspath(a.weir)
    print("| set | profile | flow accuracy / macro-F1 | packet | capture | ECE | unknown AUROC | best baseline (flow) | training |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in a.sets.split(","):
        with tempfile.TemporaryDirectory() as work:
            prepare(name, data, work)
            for profile in a.profiles.split(","):
                got = []
                for seed in a.seeds.split(","):
                    common = [weir, "-q", "--models", os.path.join(work, "models")]
                    start = time.time()
                    subprocess.run(common + ["train", "apps", "--data", os.path.join(work, "train"), "--profile", profile,
                                             "--seed", seed, "--model", profile + seed], check=True)
                    seconds = time.time() - start
                    out = os.path.join(work, "result.json")
                    told = subprocess.run(common + ["eval", "apps", "--data", os.path.join(work, "test"), "--model", profile + seed, "--json", out]
                                          + ["--compare-int8"] * a.int8,
                                          check=True, stdout=subprocess.PIPE, text=True).stdout
                    print("".join("%s, %s, seed %s: %s\n" % (name, profile, seed, line) for line in told.splitlines() if " network in " in line), end="", file=sys.stderr)
                    r = json.load(open(out))
                    r["seconds"] = seconds
                    got.append(r)

                def spread(get):
                    v = [x for x in map(get, got) if x is not None]
                    return "–" if not v else "%.3f ± %.3f" % (statistics.mean(v), statistics.stdev(v) if len(v) > 1 else 0)

                def both(level):
                    return spread(lambda r: r[level]["accuracy"]) + " / " + spread(lambda r: r[level]["macro_f1"])

                best = max(got[0]["baseline"].items(), key=lambda kv: kv[1]["accuracy"] or 0)
                print("| %s | %s | %s | %s | %s | %s | %s | %s: %.3f / %.3f | %.0f s |" % (
                    name, profile, both("flow"), both("packet"), both("capture"), spread(lambda r: r["calibration"]["ece"]),
                    spread(lambda r: (r.get("unseen") or {}).get("auroc")), best[0], best[1]["accuracy"], best[1]["macro_f1"],
                    statistics.median(r["seconds"] for r in got)), flush=True)


main()
