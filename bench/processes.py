#!/usr/bin/env python3
"""Processes of one worker over loopback TCP beside one process of two workers: examples/s and quality.

usage: processes.py [--asgd PROGRAM] [--data FOLDER] [--work FOLDER] [--runs N] [--times N] [--processes N,N] [--models NAME,NAME]
                    [--exchange auto|tcp|mpi]

mlp on MNIST (10 epochs), fm (8) and linear (10) on synthetic clicks, 400,000 rows, no early stopping; --times: so many
times as many epochs.  One run of each in turn, seeds 1 to --runs.  A ratio is the median, over the seeds, of a run's
speed over that of the run of one process beside it: machines change their speed from minute to minute.  Quality is measured
at the end alone: one of several processes evaluates while it trains, and one process's time leaves evaluations out.
"""
import argparse
import json
import os
import statistics

from bench import HERE, machine, run, spread

LIMIT = ["timeout", "300"]
MPIRUN = LIMIT + ["mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "pml", "ob1", "--mca", "btl", "tcp,self",
                  "--mca", "btl_tcp_if_include", "lo"]
EPOCHS = {"mlp": 10, "fm": 8, "linear": 10}


def clicks(o, form):
    paths = []
    for name, rows, first in (("train", 400000, 0), ("test", 100000, 10000000)):
        paths.append(f"{o.work}/{name}.{form}")
        if not os.path.exists(paths[-1]):
            run(LIMIT + [o.asgd, "synth", "clicks", "--rows", str(rows), "--first", str(first), "--format",
                         {"ffm": "libffm", "svm": "libsvm"}[form], "-o", paths[-1], "--quiet"])
    return ["--train", paths[0], "--valid", paths[1], "--patience", "never"]


def train(o, model, data, seed, processes):
    job = [o.asgd, "train", model] + data + ["--epochs", str(EPOCHS[model] * o.times), "--seed", str(seed), "--quiet", "--json",
                                             "--eval-every", "1e15", "--workers"]
    if processes == 1:
        return json.loads(run(LIMIT + job + ["2"]))
    return json.loads(run(MPIRUN + ["-n", str(processes)] + job + ["1", "--exchange", o.exchange]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--asgd", default=f"{HERE}/../build/release/asgd")
    p.add_argument("--data", default=os.environ.get("ASGD_DATA", f"{HERE}/../../shared/data"))
    p.add_argument("--work", default="/tmp/asgd-bench")
    p.add_argument("--exchange", default="auto")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--times", type=int, default=1)
    p.add_argument("--processes", default="2")
    p.add_argument("--models", default="mlp,fm,linear")
    o = p.parse_args()
    os.makedirs(o.work, exist_ok=True)
    counts = [1] + [int(n) for n in o.processes.split(",")]
    machine(o)
    print("\n| model | processes | examples/s | ratio | quality | waits, of all time | corrections |")
    print("|---|---|---|---|---|---|---|")
    for model in o.models.split(","):
        data = ["--train", f"{o.data}/mnist", "--valid", f"{o.data}/mnist"] if model == "mlp" else \
            clicks(o, "ffm" if model == "fm" else "svm")
        results = {n: [] for n in counts}
        for seed in range(1, o.runs + 1):
            for n in counts:
                results[n].append(train(o, model, data, seed, n))
        for n in counts:
            speed = [r["examples_per_second"] for r in results[n]]
            of = statistics.median(a / b["examples_per_second"] for a, b in zip(speed, results[1]))
            metric = "accuracy" if model == "mlp" else "logloss"
            quality = [r["valid"][metric] for r in results[n]]
            part = ["-", "-"] if n == 1 else \
                [f"{100 * statistics.median(r['exchange'][k] / r['seconds'] for r in results[n]):.1f} %"
                 for k in ("wait_seconds", "stall_seconds")]
            print(f"| {model} | {n}{', 2 workers' if n == 1 else ''} | {spread(speed)} | {of:.2f} | {min(quality):.4f}-"
                  f"{max(quality):.4f} | {part[0]} | {part[1]} |", flush=True)


if __name__ == "__main__":
    main()
