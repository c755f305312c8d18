#!/usr/bin/env python3
"""Ratings beside LIBMF: the same files, one program after another, medians.

usage: ratings.py speed|target|text|quality|hogwild|ranking|rivals [--asgd PROGRAM] [--libmf FOLDER] [--work FOLDER]
                  [--runs N] [--copies N]

  speed    ratings/s of training alone, ML-1M and `copies` shifted copies of it, k = 32 and 128, 1 and 2 threads
  target   seconds of training to LIBMF's best RMSE on ML-1M
  text     from text to a saved model: read, 5 passes, save
  quality  RMSE of the defaults: ML-1M fold 5, and the five folds of ML-100k
  hogwild  RMSE of plain Hogwild with 1, 2, 4, 8 workers beside the conflict-free schedule
  ranking  bpr beside ranking by popularity, ML-1M as implicit feedback
  rivals   bpr beside LIBMF's one-class losses (-f 10, 12), k = 32: each with every step size and penalty of a
           grid; both models are measured by asgd eval

LIBMF is built by you, outside; --libmf names the folder of mf-train.  It does not tell its training time, so
that of a pass is the time between two of the lines that it prints, without validation.  Data are looked for in the folder
that ASGD_DATA names, and are unpacked into the work folder.  Nothing else should run meanwhile.
"""
import argparse
import gzip
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
USERS, ITEMS = 6040, 3952


def run(command, cwd):
    started = time.monotonic()
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return time.monotonic() - started, done.stdout


def data(o):
    """ml1m.train, ml1m.test, large.train, u<fold>.train, u<fold>.test in the work folder."""
    folder = os.environ.get("ASGD_DATA", os.path.join(HERE, "../../shared/data"))
    os.makedirs(o.work, exist_ok=True)

    def lines(name):
        with gzip.open(os.path.join(folder, name), "rt") as f:
            return [tuple(line.split()[:3]) for line in f]

    def write(name, rows):
        with open(os.path.join(o.work, name), "w") as f:
            f.writelines("\t".join(map(str, r)) + "\n" for r in rows)

    if os.path.exists(os.path.join(o.work, f"large{o.copies}.train")):
        return
    train = [r for fold in range(1, 5) for r in lines(f"ml-1m/ratings.fold{fold}.tsv.gz")]
    write("ml1m.train", train)
    write("ml1m.test", lines("ml-1m/ratings.fold5.tsv.gz"))
    write(f"large{o.copies}.train", ((int(u) + c * USERS, int(i) + c * ITEMS, y)
                                     for c in range(o.copies) for u, i, y in train))
    rows = lines("ml-100k/u.data.gz")
    for fold in range(1, 6):
        held = lines(f"ml-100k/u{fold}.test.gz")
        write(f"u{fold}.test", held)
        pairs = {(u, i) for u, i, _ in held}
        write(f"u{fold}.train", (r for r in rows if (r[0], r[1]) not in pairs))


def asgd(o, *options):
    """The JSON of a training run, and the program's wall seconds."""
    wall, out = run([o.asgd, "train", *options, "--quiet", "--json"], o.work)
    return json.loads(out), wall


def libmf_command(o, k, threads, passes, train, *more):
    return [os.path.join(o.libmf, "mf-train"), "-s", threads, "-k", k, "-t", passes, "-l2", "0.05", "-r", "0.1", *more, train,
            "libmf.model"]


def libmf(o, *job):
    return run(libmf_command(o, *job), o.work)


def libmf_pass(o, k, threads, train, passes):
    """The median of the times between the lines that it prints, one a pass; the first pass is another (8 factors only)."""
    command = [str(c) for c in libmf_command(o, k, threads, passes, train)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=o.work) as p:
        ends = [time.monotonic() for line in p.stdout if line.split()[:1] and line.split()[0].isdigit()]
    if p.returncode != 0:
        sys.exit(" ".join(command))
    return statistics.median(b - a for a, b in zip(ends, ends[1:]))


def millions(values):
    m = statistics.median(values)
    return f"{m / 1e6:.1f} M ({min(values) / 1e6:.1f}-{max(values) / 1e6:.1f})"


def speed(o):
    print("| data | k | threads | asgd, ratings/s | LIBMF, ratings/s | ratio |\n|---|---|---|---|---|---|")
    for name, passes, theirs_passes in (("ml1m", 40, 22), (f"large{o.copies}", 5, 4)):
        n = sum(1 for _ in open(os.path.join(o.work, f"{name}.train")))
        for k in (32, 128):
            for threads in (1, 2):
                ours, theirs = [], []
                for _ in range(o.runs): # in turn, as the machine's speed changes
                    r, _ = asgd(o, "mf", "--train", f"{name}.train", "--k", k, "--workers", threads, "--epochs",
                                passes)
                    ours.append(r["examples_per_second"])
                    if o.libmf:
                        theirs.append(n / libmf_pass(o, k, threads, f"{name}.train", theirs_passes))
                ratio = f"{statistics.median(a / b for a, b in zip(ours, theirs)):.1f}" if theirs else "-"
                print(f"| {name} | {k} | {threads} | {millions(ours)} | {millions(theirs) if theirs else '-'} | {ratio} |",
                      flush=True)


# Chosen on the same test part, for few passes; LIBMF's step and penalty (libmf()) are, too.
SHORT = ["--epochs", 5, "--lr", 0.11, "--l2", 0.03]


def target(o):
    print("| k | threads | LIBMF's best RMSE | after | LIBMF | asgd, defaults | ratio | asgd, 5 passes | ratio |\n"
          "|---|---|---|---|---|---|---|---|---|")
    for k in (32, 128):
        for threads in (1, 2):
            ours, theirs, best = {"defaults": [], "short": []}, [], None
            for _ in range(o.runs):
                out = libmf(o, k, threads, 40, "ml1m.train", "-p", "ml1m.test")[1]
                passes = [(float(m[2]), int(m[1]) + 1) for m in re.finditer(r"^\s*(\d+)\s+\S+\s+(\S+)\s+\S+\s*$", out, re.M)]
                best = min(passes)
                theirs.append(best[1] * libmf_pass(o, k, threads, "ml1m.train", 22))
                for name, options in (("defaults", []), ("short", SHORT)):
                    r, _ = asgd(o, "mf", "--train", "ml1m.train", "--valid", "ml1m.test", "--k", k, "--workers", threads,
                                "--target", f"rmse={best[0]}", *options)
                    ours[name].append(r["target_seconds"])
            columns = ""
            for mine in ours.values():
                if None in mine:
                    columns += " not reached | - |"
                    continue
                ratios = sorted(y / x for x, y in zip(mine, theirs))
                columns += (f" {statistics.median(mine):.3f} s | {statistics.median(ratios):.1f} "
                            f"({ratios[0]:.1f}-{ratios[-1]:.1f}) |")
            print(f"| {k} | {threads} | {best[0]:.4f} | {best[1]} passes | {statistics.median(theirs):.3f} s |{columns}",
                  flush=True)


def text(o):
    print("| data | threads | asgd | LIBMF | ratio |\n|---|---|---|---|---|")
    for name in ("ml1m", f"large{o.copies}"):
        for threads in (1, 2):
            ours, theirs = [], []
            for _ in range(o.runs):
                ours.append(asgd(o, "mf", "--train", f"{name}.train", "--epochs", 5, "--workers", threads, "-o",
                                 "m.safetensors")[1])
                if o.libmf:
                    theirs.append(libmf(o, 32, threads, 5, f"{name}.train")[0])
            a, b = statistics.median(ours), statistics.median(theirs) if theirs else float("nan")
            ratio = statistics.median(y / x for x, y in zip(ours, theirs)) if theirs else float("nan")
            print(f"| {name} | {threads} | {a:.2f} s | {b:.2f} s | {ratio:.1f} |", flush=True)


def quality(o):
    for k in (32, 128):
        print(f"ML-1M, fold 5, k={k}: RMSE", *(f"{asgd(o, 'mf', '--train', 'ml1m.train', '--valid', 'ml1m.test', '--k', k, '--seed', s)[0]['valid']['rmse']:.4f}"
                                              for s in range(o.runs)))
        folds = [asgd(o, "mf", "--train", f"u{f}.train", "--valid", f"u{f}.test", "--k", k)[0]["valid"]["rmse"]
                 for f in range(1, 6)]
        print(f"ML-100k, folds 1-5, k={k}: RMSE", *(f"{x:.4f}" for x in folds), f"mean {statistics.mean(folds):.4f}")


def hogwild(o):
    for workers in (1, 2, 4, 8):
        rmse = {}
        for blocks in ("auto", "off"):
            rmse[blocks] = [asgd(o, "mf", "--train", "ml1m.train", "--valid", "ml1m.test", "--workers", workers, "--blocks",
                                 blocks, "--share", "shared", "--seed", s)[0]["valid"]["rmse"] for s in range(o.runs)]
        print(f"{workers} workers: blocks {statistics.mean(rmse['auto']):.5f}, Hogwild {statistics.mean(rmse['off']):.5f}")


def split_ranking(o):
    """rank.train, rank.test: the last tenth of each user's shuffled ratings is held out."""
    rows = [line.split() for name in ("ml1m.train", "ml1m.test") for line in open(os.path.join(o.work, name))]
    random.Random(1).shuffle(rows)
    by_user = {}
    for r in rows:
        by_user.setdefault(r[0], []).append(r)
    with open(os.path.join(o.work, "rank.train"), "w") as a, open(os.path.join(o.work, "rank.test"), "w") as b:
        for mine in by_user.values():
            cut = max(1, round(0.9 * len(mine)))
            a.writelines("\t".join(r) + "\n" for r in mine[:cut])
            b.writelines("\t".join(r) + "\n" for r in mine[cut:])


POPULAR = ["--k", 1, "--init", 0, "--epochs", 3, "--loss", "logistic", "--negatives", 10]


def ranking(o):
    split_ranking(o)
    print("| ranking | AUC | NDCG@10 | precision@10 | recall@10 | seconds |\n|---|---|---|---|---|---|")
    ways = [("most popular", POPULAR),
            ("bpr, defaults", []), ("bpr, k=64", ["--k", 64]), ("bpr, popular negatives", ["--draw", "popular"]),
            ("logistic, 5 negatives", ["--loss", "logistic", "--negatives", 5])]
    for name, options in ways:
        r, _ = asgd(o, "bpr", "--train", "rank.train", "--valid", "rank.test", *options)
        v = r["valid"]
        print(f"| {name} | {v['auc']:.4f} | {v['ndcg']:.4f} | {v['precision']:.4f} | {v['recall']:.4f} | {r['seconds']:.2f} |",
              flush=True)


def read_libmf(path):
    """rows["p12"]: the factors of user 12, of those that have some."""
    rows = {}
    with open(path) as f:
        for line in f:
            name, known, *x = line.split()
            if known == "T":
                rows[name] = [float(v) for v in x]
    return rows


def put_libmf(model, frame, out):
    """LIBMF's factors in the place of those of `frame`, a bpr of the same data and k: then asgd eval measures both alike."""
    rows = read_libmf(model)
    with open(frame, "rb") as f:
        size = f.read(8)
        head = f.read(struct.unpack("<Q", size)[0])
        body = bytearray(f.read())
    tensors = json.loads(head)
    for mark, factors, names in (("p", "user", "users"), ("q", "item", "items")):
        lo, hi = tensors[names]["data_offsets"]
        at, end = tensors[factors]["data_offsets"]
        k = tensors[factors]["shape"][1]
        body[at:end] = bytes(end - at) # those that LIBMF does not know
        for i, name in enumerate(body[lo:hi].decode().split()):
            if mark + name in rows:
                struct.pack_into(f"<{k}f", body, at + 4 * k * i, *rows[mark + name])
        at, end = tensors[factors + "_bias"]["data_offsets"]
        body[at:end] = bytes(end - at)
    with open(out, "wb") as f:
        f.write(size + head + body)


def rivals(o):
    split_ranking(o)
    frame = ["--train", "rank.train", "--quiet", "--json", "--workers", 1]
    run([o.asgd, "train", "bpr", *frame, "--epochs", 1, "-o", "frame.safetensors"], o.work)

    def show(program, passes, step, l2, v, seconds):
        print(f"| {program} | {passes} | {step} | {l2} | {v['auc']:.4f} | {v['ndcg']:.4f} | {seconds:.2f} |", flush=True)

    def ours(name, passes, step, l2, *more):
        r, _ = asgd(o, "bpr", "--train", "rank.train", "--valid", "rank.test", "--workers", 1, "--epochs", passes,
                    *(["--lr", step, "--l2", l2] if step else []), *more)
        show(name, passes, step or "-", l2 or "-", r["valid"], r["seconds"])

    def theirs(name, passes, step, l2, *more):
        train = ["-s", 1, "-k", 32, "-r", step, "-l2", l2, *more, "rank.train", "libmf.model"]
        program = os.path.join(o.libmf, "mf-train")
        once = run([program, "-t", 1, *train], o.work)[0]
        seconds = (run([program, "-t", passes, *train], o.work)[0] - once) * passes / (passes - 1)
        put_libmf(os.path.join(o.work, "libmf.model"), os.path.join(o.work, "frame.safetensors"),
                  os.path.join(o.work, "libmf.safetensors"))
        out = run([o.asgd, "eval", "libmf.safetensors", "--data", "rank.test", "--exclude", "rank.train", "--json"], o.work)[1]
        show(name, passes, step, l2, json.loads(out)["valid"], seconds)

    print("| program | passes | step | l2 | AUC | NDCG@10 | seconds |\n|---|---|---|---|---|---|---|")
    ours("most popular", 3, None, None, *POPULAR[:4], *POPULAR[6:])
    for l2 in (0.003, 0.01, 0.03):
        for step in (0.05, 0.1, 0.2):
            ours("asgd bpr", 30, step, l2)
    for l2 in (0.003, 0.01, 0.03):
        for step in (0.05, 0.1, 0.2):
            ours("asgd bpr, logistic, 5 negatives", 15, step, l2, "--loss", "logistic", "--negatives", 5)
    if not o.libmf:
        return
    for l2 in (0.003, 0.01, 0.03):
        for step in (0.05, 0.1, 0.2, 0.4):
            theirs("LIBMF -f 10", 30, step, l2, "-f", 10)
    for l2 in (0.03, 0.1, 0.3):
        theirs("LIBMF -f 12 -a 0.1", 30, 0.1, l2, "-f", 12, "-a", 0.1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = {"speed": speed, "target": target, "text": text, "quality": quality, "hogwild": hogwild, "ranking": ranking,
            "rivals": rivals}
    p.add_argument("job", choices=jobs)
    p.add_argument("--asgd", default=os.path.join(HERE, "../build/release/asgd"))
    p.add_argument("--libmf")
    p.add_argument("--work", default="/tmp/asgd-ratings")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--copies", type=int, default=20)
    o = p.parse_args()
    o.asgd = os.path.abspath(o.asgd)
    data(o)
    jobs[o.job](o)


main()
