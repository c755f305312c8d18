#!/usr/bin/env python3
"""Several hosts joined by a network that is as slow as is wanted: what it costs, and what helps.

usage: hosts.py [--asgd PROGRAM] [--data FOLDER] [--clicks FOLDER] [--rates MBIT,MBIT] [--delays MS,MS] [--runs N]
                [--jobs mlp,fm] [--modes NAME,NAME] [--hosts N] [--seconds N]

Hosts are network namespaces of this machine (root only), one process of one worker on each, started by
scripts/asgd-mpirun.  The network between them is this program: each host has a TUN device, and packets wait here for
as long as their bytes take at the rate, and the delay, one way.  Packets are up to 16,000 bytes.  What a host has to
send waits in a queue of 100 ms; more is dropped, as by a switch.

Runs end after --seconds of training, so quality is what was reached by then or after all epochs.  Nothing else should
run meanwhile.  The table is Markdown; the machine and its load are named above it.
"""
import argparse
import fcntl
import heapq
import json
import os
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from bench import HERE, machine, median

MODES = {"async": [], "async, compress auto": ["--compress", "auto"], "async, local-steps 64": ["--local-steps", "64"],
         "sync": ["--mode", "sync"], "sync, both auto": ["--mode", "sync", "--local-steps", "auto", "--compress", "auto"]}
MTU = 16000


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Network:
    """Namespaces, their devices, and the process that carries packets between them."""

    def __init__(self, n):
        self.names = [f"w{os.getpid()}{chr(97 + i)}" for i in range(n)]
        self.carrier = None
        self.folder = tempfile.mkdtemp(prefix="asgd-hosts-")
        self.devices = []

    def __enter__(self):
        try:
            self.make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def make(self):
        known = "127.0.0.1 localhost\n" + "".join(f"10.98.0.{i + 1} {h}\n" for i, h in enumerate(self.names))
        for i, name in enumerate(self.names):
            os.makedirs(f"/etc/netns/{name}")
            with open(f"/etc/netns/{name}/hosts", "w") as f:
                f.write(known)
            ip("netns", "add", name)
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(device, 0x400454ca, struct.pack("16sH", name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN, IFF_NO_PI
            self.devices.append(device)
            ip("link", "set", name, "netns", name)
            for words in (["link", "set", "lo", "up"], ["link", "set", name, "mtu", str(MTU), "up"],
                          ["addr", "add", f"10.98.0.{i + 1}/24", "dev", name]):
                ip("-n", name, *words)
        with open(f"{self.folder}/on", "w") as f:
            f.write('#!/bin/sh\nhost=$1\nshift\nexec ip netns exec "$host" unshare -u sh -c "hostname $host && $*"\n')
        os.chmod(f"{self.folder}/on", 0o755)

    def set(self, rate, delay):
        """bytes/s and seconds, from now on"""
        self.stop()
        self.carrier = os.fork()
        if self.carrier == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            carry(self.devices, rate, delay)

    def stop(self):
        if self.carrier:
            os.kill(self.carrier, signal.SIGTERM)
            os.waitpid(self.carrier, 0)
            self.carrier = None

    def __exit__(self, *_):
        self.stop()
        for name in self.names:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            for pid in map(int, pids):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def carry(devices, rate, delay):
    free = [0.0] * len(devices)  # when what a host has sent will all be on its way
    queue = []
    order = 0
    where = {d: i for i, d in enumerate(devices)}
    while True:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, to, packet = heapq.heappop(queue)
            try:
                os.write(devices[to], packet)
            except OSError:
                pass  # nobody is there: lost
        wait = max(0, queue[0][0] - now) if queue else None
        for d in select.select(devices, [], [], wait)[0]:
            for _ in range(64):
                try:
                    packet = os.read(d, 65536)
                except BlockingIOError:
                    break
                i, now = where[d], time.monotonic()
                if packet[0] >> 4 != 4 or not 0 < packet[19] <= len(devices) or free[i] > now + 0.1:
                    continue
                free[i] = max(free[i], now) + len(packet) / rate
                order += 1
                heapq.heappush(queue, (free[i] + delay, order, packet[19] - 1, packet))


def train(o, net, job, mode, seed):
    data = {"mlp": ["--train", f"{o.data}/mnist", "--valid", f"{o.data}/mnist", "--epochs", "3"],
            "fm": ["--train", f"{o.clicks}/train.ffm", "--valid", f"{o.clicks}/test.ffm", "--epochs", "2",
                   "--patience", "never"]}[job]
    command = [f"{net.folder}/on", net.names[0], "env", f"ASGD_MODULES={os.environ.get('ASGD_MODULES', os.path.dirname(o.asgd))}",
               "timeout", "-k", "5", "100", f"{HERE}/../scripts/asgd-mpirun", "--allow-run-as-root", "-O", "--mca", "-O",
               "plm_rsh_agent", "-O", f"{net.folder}/on", "--host", ",".join(net.names), "-n", str(o.hosts), o.asgd, "train", job,
               *data, "--workers", "1", "--exchange", "auto", "--eval-every", "1e15", "--max-seconds", str(o.seconds), "--seed", str(seed),
               "--json", "--quiet", *MODES[mode]]
    p = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(p.stdout)
    except ValueError:
        sys.exit(f"{' '.join(command)}: {p.returncode}\n{p.stdout}{p.stderr}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--asgd", default=f"{HERE}/../build/release/asgd")
    p.add_argument("--data", default=os.environ.get("ASGD_DATA", f"{HERE}/../../shared/data"))
    p.add_argument("--clicks", default=f"{HERE}/../../bench", help="train.ffm and test.ffm, as `asgd synth clicks` draws them")
    p.add_argument("--rates", default="1000,100", help="Mbit/s")
    p.add_argument("--delays", default="0,1,10", help="ms, one way")
    p.add_argument("--jobs", default="mlp,fm")
    p.add_argument("--modes", default=";".join(MODES), help="separated by ;")
    p.add_argument("--runs", type=int, default=1)
    p.add_argument("--hosts", type=int, default=3)
    p.add_argument("--seconds", type=float, default=8)
    o = p.parse_args()
    o.asgd = os.path.abspath(o.asgd)
    if os.geteuid() != 0:
        sys.exit("only root can make hosts")
    machine(o)
    print(f"{o.hosts} hosts, one worker each; {o.runs} run(s) of at most {o.seconds:g} s; load at the start {os.getloadavg()[0]:.1f}\n")
    print("| job | Mbit/s | delay | mode | examples/s | epochs | quality | bytes an example | staleness | deltas compressed | local steps |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    with Network(o.hosts) as net:
        for job in o.jobs.split(","):
            for rate in map(float, o.rates.split(",")):
                for delay in map(float, o.delays.split(",")):
                    net.set(rate * 1e6 / 8, delay / 1e3)
                    for mode in o.modes.split(";"):
                        runs = [train(o, net, job, mode, seed) for seed in range(o.runs)]
                        x = [r["exchange"] for r in runs]
                        good = [r["valid"]["accuracy"] if job == "mlp" else r["valid"]["logloss"] for r in runs]
                        quality = f"{100 * statistics.mean(good):.2f} %" if job == "mlp" else f"{statistics.mean(good):.4f}"
                        size = median([e["bytes_out"] * o.hosts / max(1, r["examples"]) for e, r in zip(x, runs)])
                        coded = median([100 * e["compressed_deltas"] / max(1, e["deltas"]) for e in x])
                        steps = x[-1].get("local_steps", "")
                        print(f"| {job} | {rate:g} | {delay:g} ms | {mode} | {median([r['examples_per_second'] for r in runs]):,.0f} | "
                              f"{median([r['epochs'] for r in runs]):.1f} | {quality} | {size:,.0f} | "
                              f"{median([e['staleness_mean'] for e in x]):.0f} | {coded:.0f} % | {steps} |", flush=True)


if __name__ == "__main__":
    main()
