#!/usr/bin/env python3
"""Benchmarks of the program on real data: speed and quality together, medians and means over runs.

usage: bench.py rivals|scaling|quality|stragglers|defaults [--asgd PROGRAM] [--data FOLDER] [--runs N]

  rivals      784-100-10 on MNIST beside PyTorch's Hogwild and the limit of the matrix products alone
  scaling     2 workers against 1, every model, batch 1 to 1024; share modes side by side
  quality     test accuracy of async with 2, 4, 8 workers against sequential, over seeds
  stragglers  4 workers, one of them ten times slower: sequential, sync, sync with a backup, async
  defaults    what `asgd train MODEL --train X --valid Y` reaches

Nothing else should run meanwhile.  Tables are Markdown; the machine is named above them.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr.strip()}")
    return done.stdout


def train(o, model, data, valid, *options):
    out = run([o.asgd, "train", model, "--train", data, "--valid", valid, "--eval-every", "1e15",
               "--quiet", "--json", *map(str, options)])
    r = json.loads(out)
    return r["examples_per_second"], r["valid"]["accuracy"], r


def machine(o):
    text = run([o.asgd, "inspect", "--machine"]).strip().replace("\n", "; ")
    print(f"Machine: {text}; {platform.system()} {platform.release()}\n")


def median(values):
    return statistics.median(values)


def spread(values):
    return f"{median(values) / 1e3:,.0f}k ({min(values) / 1e3:,.0f}-{max(values) / 1e3:,.0f}k)"


def rivals(o):
    mnist = f"{o.data}/mnist"
    torch = ["/usr/bin/python3", f"{HERE}/rivals/hogwild_torch.py", mnist]
    if subprocess.run([torch[0], "-c", "import torch"], stderr=subprocess.DEVNULL).returncode != 0:
        sys.exit("PyTorch is missing: apt-get install python3-torch libopenblas0-pthread")
    print("784-100-10 on MNIST, SGD, lr 0.1, 5 epochs; examples/s: median (range), mean test accuracy; "
          f"{o.runs} runs\n")
    print("| batch | workers | PyTorch Hogwild | accuracy | asgd | accuracy | ratio |")
    print("|---|---|---|---|---|---|---|")
    for batch in 32, 64:
        for workers in 1, 2:
            theirs, ours = [], []
            for seed in range(o.runs):  # in turn, so that a slow minute hits both
                r = json.loads(run(torch + [str(workers), str(batch), "5", "0.1", str(seed)]))
                theirs.append((r["examples_per_second"], r["accuracy"]))
                ours.append(train(o, "mlp", mnist, mnist, "--hidden", 100, "--batch", batch, "--workers", workers,
                                  "--lr", 0.1, "--schedule", "constant", "--epochs", 5, "--seed", seed)[:2])
            t, a = [s for s, _ in theirs], [s for s, _ in ours]
            print(f"| {batch} | {workers} | {spread(t)} | {100 * statistics.mean(q for _, q in theirs):.2f} % | "
                  f"{spread(a)} | {100 * statistics.mean(q for _, q in ours):.2f} % | {median(a) / median(t):.2f} |",
                  flush=True)


def scaling(o):
    mnist = f"{o.data}/mnist"
    a9a = f"{o.data}/a9a/a9a.xz", f"{o.data}/a9a/a9a.t.xz"
    print(f"Examples/s, median of {o.runs} runs\n\n| model | batch | 1 worker | 2 workers | ratio |")
    print("|---|---|---|---|---|")
    for model, data, valid in ("mlp", mnist, mnist), ("softmax", mnist, mnist), ("linear", *a9a):
        for batch in 1, 8, 32, 64, 256, 1024:
            epochs = (4 if batch > 1 else 2) if model != "linear" else 40
            options = ["--batch", batch, "--epochs", epochs, "--lr", 0.1 if batch > 8 else 0.01]
            if model == "mlp":
                options += ["--hidden", 100]
            speed = {1: [], 2: []}
            for _ in range(o.runs):
                for workers in 1, 2:
                    speed[workers].append(train(o, model, data, valid, *options, "--workers", workers)[0])
            print(f"| {model} | {batch} | {spread(speed[1])} | {spread(speed[2])} | "
                  f"{median(speed[2]) / median(speed[1]):.2f} |", flush=True)
    alone, pair, two = [], [], []
    options = ["--hidden", 100, "--batch", 64, "--epochs", 20, "--lr", 0.1]
    command = [o.asgd, "train", "mlp", "--train", mnist, "--valid", mnist, "--eval-every", "1e15", "--quiet",
               "--json", *map(str, options), "--workers", "1"]
    for _ in range(o.runs):
        alone.append(train(o, "mlp", mnist, mnist, *options, "--workers", 1)[0])
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        pair.append(sum(json.loads(p.communicate()[0])["examples_per_second"] for p in both))
        two.append(train(o, "mlp", mnist, mnist, *options, "--workers", 2)[0])
    print(f"\nmlp, batch 64, 20 epochs: 1 worker {spread(alone)}; two processes of 1 worker at once, together "
          f"{spread(pair)}, {median([p / a for p, a in zip(pair, alone)]):.2f} times; 2 workers {spread(two)}, "
          f"{median([t / a for t, a in zip(two, alone)]):.2f} times", flush=True)
    print("\n| share (mlp, batch 64, 2 workers) | examples/s | accuracy | staleness |")
    print("|---|---|---|---|")
    for share in "auto", "shared", "replica":
        rows = [train(o, "mlp", mnist, mnist, "--hidden", 100, "--batch", 64, "--epochs", 5, "--workers", 2,
                      "--share", share, "--seed", s) for s in range(o.runs)]
        print(f"| {share} | {spread([r[0] for r in rows])} | {100 * statistics.mean(r[1] for r in rows):.2f} % | "
              f"{statistics.mean(r[2]['staleness']['mean'] for r in rows):.1f} |", flush=True)


def quality(o):
    mnist = f"{o.data}/mnist"
    print(f"784-100-10 on MNIST, lr 0.1, batch 32, 5 epochs: test accuracy over {o.runs} seeds\n")
    print("| mode | workers | mean | lowest | highest | staleness |\n|---|---|---|---|---|---|")
    base = ["--hidden", 100, "--batch", 32, "--epochs", 5, "--lr", 0.1, "--schedule", "constant"]
    for mode, workers in ("sequential", 1), ("async", 2), ("async", 4), ("async", 8), ("sync", 2), ("locked", 2):
        rows = [train(o, "mlp", mnist, mnist, *base, "--mode", mode, "--workers", workers, "--seed", s)
                for s in range(o.runs)]
        a = [100 * r[1] for r in rows]
        print(f"| {mode} | {workers} | {statistics.mean(a):.2f} % | {min(a):.2f} | {max(a):.2f} | "
              f"{statistics.mean(r[2]['staleness']['mean'] for r in rows):.1f} |", flush=True)


def stragglers(o):
    mnist = f"{o.data}/mnist"
    print(run([o.asgd, "compare", "mlp", "--train", mnist, "--valid", mnist, "--hidden", "100", "--modes",
               "sequential,sync,sync+1,async", "--workers", "4", "--straggler", "none,3:10x", "--pace", "4ms",
               "--batch", "64", "--target", "accuracy=0.95", "--eval-every", "4000", "--epochs", "4"]))


def defaults(o):
    print("| command | accuracy | AUC | seconds |\n|---|---|---|---|")
    for model, train_at, valid_at in (("linear", "a9a/a9a.xz", "a9a/a9a.t.xz"), ("mlp", "mnist", "mnist"),
                                      ("mlp", "fashion-mnist", "fashion-mnist"), ("softmax", "mnist", "mnist")):
        rows = [train(o, model, f"{o.data}/{train_at}", f"{o.data}/{valid_at}", "--seed", s)
                for s in range(o.runs)]
        auc = [r[2]["valid"].get("auc") for r in rows]
        print(f"| asgd train {model} --train {train_at} --valid {valid_at} | "
              f"{100 * statistics.mean(r[1] for r in rows):.2f} % | "
              f"{statistics.mean(auc):.4f} | " if auc[0] is not None else
              f"| asgd train {model} --train {train_at} --valid {valid_at} | "
              f"{100 * statistics.mean(r[1] for r in rows):.2f} % | - | ",
              f"{median([r[2]['seconds'] for r in rows]):.2f} |", sep="", flush=True)


def main():
    parts = {f.__name__: f for f in (rivals, scaling, quality, stragglers, defaults)}
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("part", choices=parts)
    p.add_argument("--asgd", default=f"{HERE}/../build/release/asgd")
    p.add_argument("--data", default=os.environ.get("ASGD_DATA", f"{HERE}/../../shared/data"))
    p.add_argument("--runs", type=int, default=5)
    o = p.parse_args()
    machine(o)
    parts[o.part](o)


if __name__ == "__main__":
    main()
