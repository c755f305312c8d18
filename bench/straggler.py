#!/usr/bin/env python3
"""One process of four takes ten times as long: what it costs asynchronous and synchronous training.

usage: straggler.py [--asgd PROGRAM] [--data FOLDER] [--runs N] [--pace TIME] [--epochs N]

784-100-10 on MNIST, batches of 32, four processes of one worker over loopback TCP.  A step takes --pace at least, by
sleeping, so that four processes do not share the time of fewer cores; in the slow process ten times as long.  If nobody
waits, the job goes at (3 + 1/10) / 4 = 78 % of its speed; if all wait for the slowest, at 10 %; with `--backup 1` the
slowest is not waited for.
"""
import argparse
import json
import os
import statistics

from bench import HERE, machine, run, spread

LIMIT = ["timeout", "300"]
MPIRUN = LIMIT + ["mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "pml", "ob1", "--mca", "btl", "tcp,self",
                  "--mca", "btl_tcp_if_include", "lo"]
MODES = {"async": [], "async, --max-lag 64": ["--max-lag", "64"], "sync": ["--mode", "sync"],
         "sync, --backup 1": ["--mode", "sync", "--backup", "1"]}


def train(o, seed, options, slow):
    job = [o.asgd, "train", "mlp", "--train", f"{o.data}/mnist", "--valid", f"{o.data}/mnist", "--exchange", "auto", "--workers",
           "1", "--hidden", "100", "--batch", "32", "--epochs", str(o.epochs), "--pace", o.pace, "--seed", str(seed), "--quiet",
           "--json"] + options
    last = ["-n", "1"] + job + (["--straggler", "0:10x"] if slow else [])
    return json.loads(run(MPIRUN + ["-n", "3"] + job + [":"] + last))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--asgd", default=f"{HERE}/../build/release/asgd")
    p.add_argument("--data", default=os.environ.get("ASGD_DATA", f"{HERE}/../../shared/data"))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--pace", default="4ms")
    p.add_argument("--epochs", type=int, default=1)
    o = p.parse_args()
    machine(o)
    print(f"\nMNIST, 784-100-10, 4 processes, {o.pace} a step, {o.epochs} epochs, {o.runs} runs\n")
    print("| clock | examples/s, all alike | one 10 times slower | of that | accuracy, all alike | one slower |")
    print("|---|---|---|---|---|---|")
    for name, options in MODES.items():
        speed, quality = {}, {}
        for slow in (False, True):
            results = [train(o, seed, options, slow) for seed in range(1, o.runs + 1)]
            speed[slow] = [r["examples_per_second"] for r in results]
            quality[slow] = statistics.mean(r["valid"]["accuracy"] for r in results)
        of = statistics.median(speed[True]) / statistics.median(speed[False])
        print(f"| {name} | {spread(speed[False])} | {spread(speed[True])} | {100 * of:.0f} % | {100 * quality[False]:.1f} % | "
              f"{100 * quality[True]:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
