#!/usr/bin/env python3
"""A parameter server on torch.distributed.rpc: one server process, and workers that never wait for each other.

usage: param_server_torch.py MNIST_FOLDER WORKERS BATCH EPOCHS LR SEED [tcp|any]

The net is 784-100-10 (relu, cross-entropy, SGD), as in hogwild_torch.py; its parameters are one flat tensor.
A worker's step: gradients of a batch, pushed in one message, which the server applies at once and answers with
the parameters.  So a step is one round trip.  `tcp` is over loopback, `any` by what PyTorch prefers on one
machine (shared memory).  Each process has one thread for computing; each worker has a share of a new random
permutation every epoch.

The server keeps the parameters of the end of every epoch, whose accuracy is found afterwards.  Prints one JSON object;
`seconds` is training alone, from the first pull, when all have started, to the last push.  Bytes are those of
parameters and gradients, without headers.
"""
import json
import os
import sys
import threading
import time

os.environ["OMP_NUM_THREADS"] = "1"
import torch
import torch.nn.functional as F
from torch import multiprocessing
from torch.distributed import rpc

from hogwild_torch import load

server = None


def flat_net():
    """A net whose parameters and gradients are views of two flat tensors."""
    net = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    values = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    gradients = torch.zeros_like(values)
    at = 0
    for p in net.parameters():
        p.data = values[at:at + p.numel()].view_as(p)
        p.grad = gradients[at:at + p.numel()].view_as(p)
        at += p.numel()
    return net, values, gradients


class Server:
    def __init__(self, lr, examples):
        self.net, self.values, _ = flat_net()
        self.lr, self.examples = lr, examples
        self.lock = threading.Lock()
        self.start, self.done, self.pushes, self.history = None, 0, 0, []

    def push(self, gradients, examples):
        with self.lock:
            self.values.sub_(gradients, alpha=self.lr)
            self.pushes += 1
            self.done += examples
            if self.done >= self.examples * (len(self.history) + 1):
                self.history.append((time.monotonic() - self.start, self.values.clone()))
            return self.values.clone()

    def pull(self):
        with self.lock:
            self.start = self.start or time.monotonic()
            return self.values.clone()


def push(gradients, examples):  # workers call these two, the server's process runs them
    return server.push(gradients, examples)


def pull():
    return server.pull()


def join(name, rank, processes, transport):
    only = {"_transports": ["uv"], "_channels": ["basic"]} if transport == "tcp" else {}
    rpc.init_rpc(name, rank=rank, world_size=processes, rpc_backend_options=rpc.TensorPipeRpcBackendOptions(**only))


def work(rank, workers, folder, batch, epochs, seed, transport, barrier):
    torch.set_num_threads(1)
    x, y = load(folder, "train")
    join(f"worker{rank}", rank, workers + 1, transport)
    net, values, gradients = flat_net()
    barrier.wait()
    values.copy_(rpc.rpc_sync("server", pull))
    for epoch in range(epochs):
        torch.manual_seed(seed * 1000 + epoch)  # all draw the same permutation
        mine = torch.randperm(len(x))[rank - 1::workers]
        for i in range(0, len(mine), batch):
            take = mine[i:i + batch]
            gradients.zero_()
            F.cross_entropy(net(x[take]), y[take]).backward()
            values.copy_(rpc.rpc_sync("server", push, (gradients, len(take))))
    rpc.shutdown()


def accuracy(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) == y).double().mean().item()


def main():
    global server
    folder, workers, batch, epochs, lr, seed = sys.argv[1:7]
    workers, batch, epochs, lr, seed = int(workers), int(batch), int(epochs), float(lr), int(seed)
    transport = sys.argv[7] if len(sys.argv) > 7 else "tcp"
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29511")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(workers)
    processes = [spawn.Process(target=work, args=(r, workers, folder, batch, epochs, seed, transport, barrier))
                 for r in range(1, workers + 1)]
    server = Server(lr, 60000)
    for p in processes:
        p.start()
    join("server", 0, workers + 1, transport)
    rpc.shutdown()  # returns when all workers have called it too
    for p in processes:
        p.join()
    x, y = load(folder, "t10k")
    history = []
    for seconds, values in server.history:
        server.values.copy_(values)
        history.append((seconds, accuracy(server.net, x, y)))
    seconds = history[-1][0]
    print(json.dumps({"program": f"PyTorch {torch.__version__} rpc", "workers": workers, "batch": batch,
                      "examples_per_second": server.done / seconds, "seconds": seconds, "accuracy": history[-1][1],
                      "history": history, "pushes": server.pushes,
                      "bytes": 2 * 4 * server.values.numel() * server.pushes}))


if __name__ == "__main__":
    main()
