#!/usr/bin/env python3
"""PyTorch's Hogwild: processes that train one model in shared memory without locks.

usage: hogwild_torch.py MNIST_FOLDER PROCESSES BATCH EPOCHS LR SEED

The net is 784-100-10 (relu, cross-entropy, SGD), as in the library's own bench; each process has one
thread and a share of a new random permutation every epoch.  Prints one JSON object; `seconds` is
training alone, from a barrier when all processes have started to the end of the last.
"""
import gzip
import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import torch
import torch.nn.functional as F
from torch import multiprocessing


def read_idx(path, offset):
    path = path if os.path.exists(path) else path + ".gz"
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        return np.frombuffer(f.read(), np.uint8, offset=offset)


def load(folder, part):
    x = read_idx(f"{folder}/{part}-images-idx3-ubyte", 16).reshape(-1, 784)
    y = read_idx(f"{folder}/{part}-labels-idx1-ubyte", 8)
    return torch.from_numpy(x.astype(np.float32) / 255), torch.from_numpy(y.astype(np.int64))


def work(rank, processes, model, x, y, batch, epochs, lr, seed, barrier):
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    barrier.wait()
    for epoch in range(epochs):
        torch.manual_seed(seed * 1000 + epoch)  # all draw the same permutation
        mine = torch.randperm(len(x))[rank::processes]
        for i in range(0, len(mine), batch):
            take = mine[i:i + batch]
            optimizer.zero_grad()
            F.cross_entropy(model(x[take]), y[take]).backward()
            optimizer.step()
    barrier.wait()


def main():
    folder, processes, batch, epochs, lr, seed = sys.argv[1:7]
    processes, batch, epochs, lr, seed = int(processes), int(batch), int(epochs), float(lr), int(seed)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    x, y = load(folder, "train")
    x.share_memory_()
    y.share_memory_()
    model = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    model.share_memory()
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(processes + 1)
    workers = [fork.Process(target=work, args=(r, processes, model, x, y, batch, epochs, lr, seed, barrier))
               for r in range(processes)]
    for w in workers:
        w.start()
    barrier.wait()
    start = time.monotonic()
    barrier.wait()
    seconds = time.monotonic() - start
    for w in workers:
        w.join()
    x, y = load(folder, "t10k")
    with torch.no_grad():
        accuracy = (model(x).argmax(1) == y).double().mean().item()
    print(json.dumps({"program": f"PyTorch {torch.__version__} Hogwild", "workers": processes, "batch": batch,
                      "examples_per_second": epochs * 60000 / seconds, "seconds": seconds,
                      "accuracy": accuracy}))


if __name__ == "__main__":
    main()
