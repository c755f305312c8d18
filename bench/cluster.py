#!/usr/bin/env python3
"""Several processes on one machine: asgd over MPI beside a parameter server of PyTorch, on the same job.

usage: cluster.py [--asgd PROGRAM] [--data FOLDER] [--runs N] [--batch N,N] [--processes N] [--epochs N]

784-100-10 on MNIST, SGD, lr 0.1.  asgd runs as N processes of one worker each, PyTorch as one server and N workers
(rivals/param_server_torch.py).  Both go over TCP on loopback only, and PyTorch once more by what it prefers on one
machine; in turn, so that a slow minute hits all.  PyTorch runs for 10 epochs, which say when it reaches 97 %, and what
its accuracy is after --epochs.  Of asgd a second run says when it reaches 97 %.  Both look once an epoch.

Nothing else should run meanwhile.  Tables are Markdown; the machine and its load are named above them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

from bench import HERE, machine, median, run, spread

TARGET = 0.97
LONGEST = 10  # epochs in which to reach it
LIMIT = ["timeout", "600"]  # a run that hangs ends all
MPIRUN = LIMIT + ["mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "orte_enable_recovery", "1",
                   "--mca", "orte_abort_on_non_zero_status", "0", "--mca", "btl", "tcp,self",
                   "--mca", "btl_tcp_if_include", "lo"]


def check(o):
    if "--exchange" not in run([o.asgd, "train", "--help"]):
        sys.exit(f"{o.asgd} cannot train with several processes: its `train --help` knows no --exchange")
    if subprocess.run(["sh", "-c", "command -v mpirun"], stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit("mpirun is missing: apt-get install openmpi-bin libopenmpi-dev, and build asgd again")
    if subprocess.run(["/usr/bin/python3", "-c", "import torch"], stderr=subprocess.DEVNULL).returncode != 0:
        sys.exit("PyTorch is missing: apt-get install python3-torch libopenblas0-pthread")


def asgd(o, batch, seed, *options):
    mnist = f"{o.data}/mnist"
    out = run(MPIRUN + ["-n", str(o.processes), o.asgd, "train", "mlp", "--train", mnist, "--valid", mnist, "--exchange",
                        "auto", "--workers", "1", "--hidden", "100", "--batch", str(batch), "--lr", "0.1", "--schedule",
                        "constant", "--seed", str(seed), "--quiet", "--json", *options])
    return json.loads(out)


def ours(o, batch, seed):
    r = asgd(o, batch, seed, "--epochs", str(o.epochs), "--eval-every", "1e15")
    t = asgd(o, batch, seed, "--epochs", str(LONGEST), "--target", f"accuracy={TARGET}")
    x = r["exchange"]
    return {"speed": r["examples_per_second"], "accuracy": r["valid"]["accuracy"], "target": t["target_seconds"],
            "rounds": x["rounds"] / r["seconds"],
            "bytes": (x["bytes_out"] + x["bytes_in"]) / 2 * o.processes / r["examples"]}


def theirs(o, batch, seed, *options):
    r = json.loads(run(LIMIT + ["/usr/bin/python3", f"{HERE}/rivals/param_server_torch.py", f"{o.data}/mnist",
                        str(o.processes), str(batch), str(LONGEST), "0.1", str(seed), *options]))
    return {"speed": r["examples_per_second"], "accuracy": r["history"][o.epochs - 1][1],
            "target": next((s for s, a in r["history"] if a >= TARGET), None),
            "rounds": r["pushes"] / r["seconds"] / o.processes,
            "bytes": r["bytes"] / (r["examples_per_second"] * r["seconds"])}


def row(name, batch, runs, base):
    speed = [r["speed"] for r in runs]
    reached = [r["target"] for r in runs if r["target"] is not None]
    seconds = f"{median(reached):.2f} s" if len(reached) == len(runs) else f"reached in {len(reached)} of {len(runs)}"
    print(f"| {name} | {batch} | {spread(speed)} | {100 * statistics.mean(r['accuracy'] for r in runs):.2f} % | {seconds} | "
          f"{median([r['rounds'] for r in runs]):,.0f} | {median([r['bytes'] for r in runs]):,.0f} | "
          f"{median(speed) / base:.1f} |", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--asgd", default=f"{HERE}/../build/release/asgd")
    p.add_argument("--data", default=os.environ.get("ASGD_DATA", f"{HERE}/../../shared/data"))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--batch", default="32,64")
    p.add_argument("--processes", type=int, default=2)
    p.add_argument("--epochs", type=int, default=5)
    o = p.parse_args()
    if not 1 <= o.epochs <= LONGEST:
        p.error(f"--epochs: 1 to {LONGEST}")
    check(o)
    machine(o)
    print(f"784-100-10 on MNIST, SGD, lr 0.1, {o.processes} workers over loopback TCP; accuracy after {o.epochs} epochs; "
          f"{o.runs} runs in turn; load at the start {os.getloadavg()[0]:.1f}\n")
    print(f"| program | batch | examples/s | accuracy | to {100 * TARGET:.0f} % | exchanges/s, each | bytes an example | speed |")
    print("|---|---|---|---|---|---|---|---|")
    programs = {"PyTorch rpc": lambda b, s: theirs(o, b, s, "tcp"),
                "PyTorch rpc, shared memory": lambda b, s: theirs(o, b, s, "any"),
                "asgd": lambda b, s: ours(o, b, s)}
    for batch in map(int, o.batch.split(",")):
        runs = {name: [] for name in programs}
        for seed in range(o.runs):
            for name, program in programs.items():
                runs[name].append(program(batch, seed))
        base = median([r["speed"] for r in runs["PyTorch rpc"]])
        for name in programs:
            row(name, batch, runs[name], base)


if __name__ == "__main__":
    main()
