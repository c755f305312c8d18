#!/usr/bin/env python3
"""Click prediction beside xLearn, libFFM and Vowpal Wabbit: the same files, one run after another.

usage: clicks.py tune|speed|share|text|animals|quality|progressive [--asgd PROGRAM] [--work FOLDER] [--runs N] ...

  tune     validation logloss of every program and model over the same grid of step sizes
  speed    training alone, examples/s, 1 and 2 threads, each program at its best step size
  share    2 workers against 1; --share hot, shared and auto; 8 workers' logloss
  text     from text to a saved model: parse, 3 passes, save; memory
  animals  Vowpal Wabbit's own ground: text with an A-B interaction, one pass, and prediction
  quality  what the defaults reach on the real data sets
  progressive  loss of one pass at the default step size and at multiples of the usual one

Data are made by `asgd synth clicks` (400,000 rows for training, 100,000 for validation, 2.7 million
features) in the work folder.  Rivals are built by you, outside; name them by --xlearn FOLDER (with
xlearn_train and xlearn_predict), --libffm FOLDER, --vw PROGRAM; those not named are left out.
Nothing else should run meanwhile.  Tables are Markdown.
"""
import argparse
import glob
import json
import lzma
import math
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GRID = 0.01, 0.02, 0.05, 0.1, 0.2, 0.4
L2 = 0.00002
PASSES = 3
ROWS, TEST = 400000, 100000
MODELS = "linear", "fm", "ffm"
# Examples can be scaled to length 1.  Which is better depends on the model, so a setting is a step size and
# whether to scale.
PLAIN = [(lr, False) for lr in GRID]
BOTH = PLAIN + [(lr, True) for lr in GRID]


def run(command, cwd=None):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          cwd=cwd, env={**os.environ, "USER": os.environ.get("USER", "user")})
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout.strip()}")
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def timed(command, cwd=None):
    """Wall seconds, user+system seconds and peak memory in MB of a command."""
    before = time.monotonic()
    child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd,
                             env={**os.environ, "USER": os.environ.get("USER", "user")})
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - before
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{out.decode(errors='replace')}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.decode(errors="replace")


def text_of(model):
    return "ffm" if model == "ffm" else "svm"


def logloss(probabilities, labels):
    """In double: programs that add up floats lose digits over many rows."""
    total = 0.0
    for p, y in zip(probabilities, labels):
        p = min(max(p, 1e-15), 1 - 1e-15)
        total -= math.log(p if y else 1 - p)
    return total / len(labels)


def no_norm(setting):
    return [] if setting[1] else ["--no-norm"]


def labels(path):
    with open(path) as f:
        return [line[0] != "0" and line[0] != "-" for line in f]


class Asgd:
    name = "asgd"
    # xLearn's adagrad: sums of squares begin at 1, the step size stays
    settings = BOTH
    like_theirs = {"linear": ["--eps", 1, "--schedule", "constant"], "fm": [], "ffm": []}

    def __init__(self, o):
        self.o = o

    def has(self, model):
        return True

    def train(self, model, setting, threads, *more):
        """Examples/s of training alone, validation logloss."""
        o, (lr, scaled) = self.o, setting
        out = run([o.asgd, "train", model, "--train", f"train.{text_of(model)}", "--valid", f"test.{text_of(model)}",
                   "--workers", threads, "--epochs", PASSES, "--lr", lr, "--l2", L2, "--eval-every", 1e15, "--quiet",
                   "--json", "--normalize", int(scaled), *self.like_theirs[model], *more], o.work)
        r = json.loads(out)
        return r["examples_per_second"], r["valid"]["logloss"], r


class Xlearn:
    name = "xLearn"
    settings = BOTH
    kind = {"linear": ["-s", 0], "fm": ["-s", 1, "-k", 8], "ffm": ["-s", 2, "-k", 4]}

    def __init__(self, o):
        self.o = o

    def has(self, model):
        return self.o.xlearn is not None

    def clean(self):
        for f in glob.glob(f"{self.o.work}/*.bin"):
            os.remove(f)

    def command(self, model, setting, threads):
        return [f"{self.o.xlearn}/xlearn_train", f"train.{text_of(model)}", *self.kind[model], "-r", setting[0], "-b",
                L2, "-e", PASSES, "-nthread", threads, "--dis-es", "--no-bin", "-m", "xlearn.model", "-l",
                "xlearn-log", *no_norm(setting)]

    def train(self, model, setting, threads):
        o = self.o
        self.clean()
        out = run(self.command(model, setting, threads), o.work)
        seconds = sum(float(m[1]) for m in re.finditer(r"\d+%\s*\]\s+\d+\s+\S+\s+(\S+)\s*$", out, re.M))
        test = f"test.{text_of(model)}"
        run([f"{o.xlearn}/xlearn_predict", test, "xlearn.model", "-o", "xlearn.out", "--sigmoid", "-nthread", 1,
             *no_norm(setting)], o.work)
        self.clean()
        with open(f"{o.work}/xlearn.out") as f:
            loss = logloss([float(line) for line in f], labels(f"{o.work}/{test}"))
        return PASSES * ROWS / seconds, loss, None


class Libffm:
    name = "libFFM"
    settings = BOTH

    def __init__(self, o):
        self.o = o

    def has(self, model):
        return model == "ffm" and self.o.libffm is not None

    def command(self, setting, threads):
        return [f"{self.o.libffm}/ffm-train", "-k", 4, "-t", PASSES, "-r", setting[0], "-l", L2, "-s", threads,
                *no_norm(setting), "train.ffm", "libffm.model"]

    def train(self, model, setting, threads):
        o = self.o
        out = run(self.command(setting, threads), o.work)
        seconds = float(out.strip().splitlines()[-1].split()[-1])
        run([f"{o.libffm}/ffm-predict", "test.ffm", "libffm.model", "libffm.out"], o.work)
        for f in glob.glob(f"{o.work}/*.bin"):
            os.remove(f)
        with open(f"{o.work}/libffm.out") as f:  # its own loss is infinite where a float rounds to 1
            loss = logloss([float(line) for line in f], labels(f"{o.work}/test.ffm"))
        return PASSES * ROWS / seconds, loss, None


def programs(o):
    return Asgd(o), Xlearn(o), Libffm(o)


def make(o):
    os.makedirs(o.work, exist_ok=True)
    for form, name in ("libffm", "ffm"), ("libsvm", "svm"), ("vw", "vw"):
        for part, first, rows in ("train", 0, ROWS), ("test", ROWS, TEST):
            path = f"{o.work}/{part}.{name}"
            if not os.path.exists(path):
                run([o.asgd, "synth", "clicks", "-o", path, "--format", form, "--rows", rows, "--first", first,
                     "--seed", 1])


def best_of(o, p, model):
    """The setting of the lowest validation logloss, remembered in the work folder."""
    path = f"{o.work}/best.json"
    known = {}
    if os.path.exists(path):
        with open(path) as f:
            known = json.load(f)
    key = f"{p.name} {model}"
    if key not in known:
        losses = [p.train(model, setting, 1)[1] for setting in p.settings]
        best = min(range(len(losses)), key=losses.__getitem__)
        known[key] = {"setting": p.settings[best], "losses": losses}
        with open(path, "w") as f:
            json.dump(known, f)
    return known[key]


def tune(o):
    print(f"Validation logloss after {PASSES} passes, 1 thread, l2 {L2}\n\n| model | program | "
          + " | ".join(f"lr {lr}" for lr in GRID) + " |\n|---|---|" + "---|" * len(GRID))
    for model in o.models.split(","):
        for p in programs(o):
            if p.has(model):
                losses = best_of(o, p, model)["losses"]
                for i in range(0, len(losses), len(GRID)):
                    print(f"| {model} | {p.name}{', examples scaled' if i else ''} | "
                          + " | ".join(f"{x:.5f}" for x in losses[i:i + len(GRID)]) + " |", flush=True)


def rate(values):
    return f"{statistics.median(values) / 1e3:,.0f}k ({min(values) / 1e3:,.0f}-{max(values) / 1e3:,.0f}k)"


def speed(o):
    print(f"Training alone, {PASSES} passes, examples/s: median (range) of {o.runs} runs\n")
    print("| model | threads | program | step size | examples/s | logloss | asgd is faster by |\n|---|---|---|---|---|---|---|")
    for model in o.models.split(","):
        those = [p for p in programs(o) if p.has(model)]
        best = {p.name: best_of(o, p, model)["setting"] for p in those}
        for threads in 1, 2:
            speeds, losses = {p.name: [] for p in those}, {p.name: [] for p in those}
            for _ in range(o.runs):  # in turn, so that a slow minute hits all
                for p in those:
                    s, l, _ = p.train(model, best[p.name], threads)
                    speeds[p.name].append(s)
                    losses[p.name].append(l)
            ours = statistics.median(speeds["asgd"])
            for p in those:
                by = "" if p.name == "asgd" else f"{ours / statistics.median(speeds[p.name]):.2f}"
                print(f"| {model} | {threads} | {p.name} | {best[p.name][0]}{', scaled' if best[p.name][1] else ''} | "
                      f"{rate(speeds[p.name])} | "
                      f"{statistics.median(losses[p.name]):.5f} | {by} |", flush=True)


def share(o):
    a = Asgd(o)
    print(f"{PASSES} passes, examples/s: median (range) of {o.runs} runs; logloss: mean\n")
    print("| model | workers | share | examples/s | against 1 worker | logloss | staleness |\n|---|---|---|---|---|---|---|")
    for model in o.models.split(","):
        lr = best_of(o, a, model)["setting"]
        one = None
        kinds = (1, "auto"), (2, "shared"), (2, "hot"), (2, "auto"), (8, "auto")
        rows = {k: [] for k in kinds}
        for seed in range(o.runs):
            for k in kinds:
                rows[k].append(a.train(model, lr, k[0], "--share", k[1], "--seed", seed))
        for k in kinds:
            speeds = [r[0] for r in rows[k]]
            one = one or statistics.median(speeds)
            print(f"| {model} | {k[0]} | {k[1]} | {rate(speeds)} | {statistics.median(speeds) / one:.2f} | "
                  f"{statistics.mean(r[1] for r in rows[k]):.5f} | "
                  f"{statistics.mean(r[2]['staleness']['mean'] for r in rows[k]):.1f} |", flush=True)


def text(o):
    print(f"From text to a saved model, {PASSES} passes, 2 threads, no cache: median of {o.runs} runs\n")
    print("| model | program | seconds | peak memory, MB | asgd is faster by |\n|---|---|---|---|---|")
    for model in o.models.split(","):
        commands = {"asgd": [o.asgd, "train", model, "--train", f"train.{text_of(model)}", "--cache", "none",
                             "--workers", 2, "--epochs", PASSES, "--l2", L2, "-o", "asgd.safetensors", "--quiet"]}
        if o.xlearn:
            commands["xLearn"] = Xlearn(o).command(model, best_of(o, Xlearn(o), model)["setting"], 2)
        if o.libffm and model == "ffm":
            commands["libFFM"] = Libffm(o).command(best_of(o, Libffm(o), model)["setting"], 2)
        rows = {name: [] for name in commands}
        for _ in range(o.runs):
            for name, command in commands.items():
                for f in glob.glob(f"{o.work}/*.bin"):
                    os.remove(f)
                rows[name].append(timed(command, o.work))
        ours = statistics.median(r[0] for r in rows["asgd"])
        for name, r in rows.items():
            s = statistics.median(x[0] for x in r)
            print(f"| {model} | {name} | {s:.2f} | {max(x[2] for x in r):,.0f} | "
                  f"{'' if name == 'asgd' else f'{s / ours:.2f}'} |", flush=True)
    print("\nParsing alone, 2 threads:\n\n| file | MB | seconds | MB/s |\n|---|---|---|---|")
    for name in "train.svm", "train.ffm", "train.vw":
        megabytes = os.path.getsize(f"{o.work}/{name}") / 1e6
        seconds = []
        for _ in range(o.runs):
            out = run([o.asgd, "train", "linear", "--train", name, "--cache", "none", "--workers", 2, "--epochs",
                       0.001, "--quiet", "--json"], o.work)
            seconds.append(json.loads(out)["load_seconds"])
        s = statistics.median(seconds)
        print(f"| {name} | {megabytes:.0f} | {s:.3f} | {megabytes / s:.0f} |", flush=True)


def animals(o):
    rows, test = 10000000, 10000000
    for part, n, seed in ("train", rows, 1), ("test", test, 2):
        path = f"{o.work}/animals-{part}.vw"
        if not os.path.exists(path):
            with open(path, "wb") as f:
                subprocess.run([f"{os.path.dirname(o.asgd)}/bench/make_animals", str(n), str(seed)], stdout=f, check=True)
    common = ["--interactions", "AB", "--hash-bits", o.bits, "--progressive", "--quiet", "--json"]
    ours = [o.asgd, "train", "linear", "--train", "animals-train.vw", *common]
    theirs = [o.vw, "--loss_function", "logistic", "--link", "logistic", "-q", "AB", "-b", o.bits, "--quiet",
              "-l", o.vw_lr]
    cache = [*ours, "--cache", "cache"]
    jobs = {
        "text, 1": [*ours, "--cache", "none", "--workers", 1, "-o", "animals.safetensors"],
        "text, 2": [*ours, "--cache", "none", "--workers", 2, "-o", "animals2.safetensors"],
        "cache, 1": [*cache, "--workers", 1, "-o", "animals.safetensors"],
        "cache, 2": [*cache, "--workers", 2, "-o", "animals2.safetensors"],
        "predict, 2": [o.asgd, "predict", "animals.safetensors", "--data", "animals-test.vw", "--cache", "none", "-o",
                       "animals.out", "--workers", 2],
        "predict, 1": [o.asgd, "predict", "animals.safetensors", "--data", "animals-test.vw", "--cache", "none", "-o",
                       "animals.out", "--workers", 1],
    }
    if o.vw:
        jobs["VW text"] = [*theirs, "-d", "animals-train.vw", "-f", "animals.vwmodel"]
        jobs["VW cache"] = [*theirs, "--cache_file", "animals.vwcache", "-f", "animals.vwmodel"]
        jobs["VW predict"] = [o.vw, "-t", "-i", "animals.vwmodel", "-d", "animals-test.vw", "-p", "animals.vwout",
                              "--quiet"]
        if not os.path.exists(f"{o.work}/animals.vwcache"):
            run([*theirs, "-d", "animals-train.vw", "--cache_file", "animals.vwcache"], o.work)
    run(cache, o.work)
    seconds = {name: [] for name in jobs}
    for _ in range(o.runs):
        for name, command in jobs.items():
            seconds[name].append(timed(command, o.work)[0])
    print(f"{rows:,} rows, one pass, logistic regression with the A-B interaction, 2^{o.bits} weights; "
          f"median of {o.runs} runs\n\n| job | seconds | rows/s | against Vowpal Wabbit |\n|---|---|---|---|")
    for name, s in seconds.items():
        m = statistics.median(s)
        base = seconds.get("VW " + name.split(",")[0])
        ratio = f"{statistics.median(base) / m:.1f}" if base and not name.startswith("VW") else ""
        print(f"| {name} | {m:.2f} | {rows / m:,.0f} | {ratio} |", flush=True)
    y = labels(f"{o.work}/animals-test.vw")
    for name in "animals.out", "animals.vwout":
        if os.path.exists(f"{o.work}/{name}"):
            with open(f"{o.work}/{name}") as f:
                print(f"\nlogloss of {name}: {logloss([float(line.split()[0]) for line in f], y):.6f}", flush=True)


def every_fifth(o, name):
    """A data set without a test part: paths of its rows but every fifth, and of those."""
    paths = [f"{o.work}/{name}/{part}.svm" for part in ("train", "test")]
    if not os.path.exists(paths[1]):
        os.makedirs(f"{o.work}/{name}", exist_ok=True)
        with lzma.open(f"{o.data}/{name}/{name}.xz", "rt") as f:
            rows = f.readlines()
        for path, those in zip(paths, ([r for i, r in enumerate(rows, 1) if i % 5], rows[4::5])):
            with open(path, "w") as f:
                f.writelines(those)
    return paths


def quality(o):
    d = o.data
    jobs = (
        ("linear", f"{d}/a9a/a9a.xz", f"{d}/a9a/a9a.t.xz"),
        ("linear", *every_fifth(o, "w8a")),
        ("fm", *every_fifth(o, "w8a")),
        ("linear", f"{d}/reuters-money-fx/reuters.trn.bz2", f"{d}/reuters-money-fx/reuters.tst.bz2"),
        ("linear", f"{d}/flight-delays/flight_delays_train.csv.gz", f"{d}/flight-delays/flight_delays_valid.csv.gz"),
        ("fm", f"{d}/flight-delays/flight_delays_train.csv.gz", f"{d}/flight-delays/flight_delays_valid.csv.gz"),
        ("ffm", f"{d}/flight-delays/flight_delays_train.csv.gz", f"{d}/flight-delays/flight_delays_valid.csv.gz"),
        ("linear", f"{d}/criteo-10k/train.txt.gz", f"{d}/criteo-10k/test.txt.gz"),
        ("fm", f"{d}/criteo-10k/train.txt.gz", f"{d}/criteo-10k/test.txt.gz"),
        ("ffm", f"{d}/criteo-10k/train.txt.gz", f"{d}/criteo-10k/test.txt.gz"),
        ("linear", f"{d}/delicious/train.txt.gz", f"{d}/delicious/test.txt.gz"),
        ("mlp", f"{d}/delicious/train.txt.gz", f"{d}/delicious/test.txt.gz"),
    )
    names = "accuracy", "auc", "logloss", "ne", "calibration", "p1", "p3", "p5"
    print("| model | data | " + " | ".join(names) + " |\n|---|---|" + "---|" * len(names))
    for model, train, valid, *more in jobs:
        rows = []
        for seed in range(o.runs):
            out = run([o.asgd, "train", model, "--train", train, "--valid", valid, "--cache", f"{o.work}/cache",
                       "--seed", seed, "--quiet", "--json", *more])
            rows.append(json.loads(out)["valid"])
        cells = [statistics.mean(r[n] for r in rows) if rows[0].get(n) is not None else None for n in names]
        print(f"| {model} | {os.path.basename(os.path.dirname(train))} | "
              + " | ".join("" if c is None else f"{c:.4f}" for c in cells) + " |", flush=True)


def progressive(o):
    d = o.data
    sets = {"reuters": f"{d}/reuters-money-fx/reuters.trn.bz2", "clicks, 5 fields": 5, "clicks, 10 fields": 10,
            "flight-delays": f"{d}/flight-delays/flight_delays_train.csv.gz", "a9a": f"{d}/a9a/a9a.xz",
            "clicks, 20 fields": 20, "criteo-10k": f"{d}/criteo-10k/train.txt.gz", "clicks, 39 fields": 39}
    usual = {"linear": 0.05, "fm": 0.2, "ffm": 0.02}
    times = 1, 1.5, 2, 3, 5, 7, 10, 15
    print("| model | data | default | its loss | " + " | ".join(f"{t}x" for t in times) + " |\n|---|---|---|---|"
          + "---|" * len(times))
    for model in o.models.split(","):
        for name, path in sets.items():
            if model == "ffm" and name in ("reuters", "a9a"):  # no fields
                continue
            if isinstance(path, int):
                fields, path = path, f"{o.work}/clicks{path}.ffm"
                if not os.path.exists(path):
                    run([o.asgd, "synth", "clicks", "-o", path, "--rows", 200000, "--fields", fields, "--seed", 3])
            command = [o.asgd, "train", model, "--train", path, "--cache", f"{o.work}/cache", "--progressive", "--mode",
                       "sequential", "--quiet", "--json"]
            r = json.loads(run(command))
            losses = [json.loads(run([*command, "--lr", usual[model] * t]))["online_loss"] for t in times]
            print(f"| {model} | {name} | {r['lr'] / usual[model]:.1f}x | {r['online_loss']:.4f} | "
                  + " | ".join(f"{x:.4f}" for x in losses) + " |", flush=True)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("what", choices=["tune", "speed", "share", "text", "animals", "quality", "progressive"])
    p.add_argument("--asgd", default=f"{HERE}/../build/release/asgd")
    p.add_argument("--data", default=os.environ.get("ASGD_DATA", f"{HERE}/../../shared/data"))
    p.add_argument("--work", default="/tmp/asgd-clicks")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--xlearn")
    p.add_argument("--libffm")
    p.add_argument("--vw")
    p.add_argument("--models", default=",".join(MODELS))
    p.add_argument("--vw-lr", default="0.5")
    p.add_argument("--bits", default="24")
    o = p.parse_args()
    o.asgd = os.path.abspath(o.asgd)
    text_ = run([o.asgd, "inspect", "--machine"]).strip().replace("\n", "; ")
    print(f"Machine: {text_}\n")
    if o.what not in ("animals", "quality", "progressive"):
        make(o)
    os.makedirs(o.work, exist_ok=True)
    globals()[o.what](o)


if __name__ == "__main__":
    main()
