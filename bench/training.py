#!/usr/bin/env python3
"""Train weir's networks in weir and in PyTorch, in turn, and compare the processor time of a step.

    go build -o bin/training ./bench/training
    OPENBLAS_CORETYPE=SKYLAKEX bench/training.py [--weir bin/training] [--batch 64] [--rounds 7] [--networks packet-paper,…]

Needs Debian's python3-torch and libopenblas0-pthread (with the reference BLAS, PyTorch's LSTM takes many times as
long); the variable makes OpenBLAS use AVX-512 on processors that have it. A step is forward, loss, backward, clipping
of gradients and AdamW, on random data, with one thread. The networks are those of bench/training, layer by layer:
flows have ten packets, cross-entropies have label smoothing, batch statistics are those of the whole batch in PyTorch
and those of shards in weir. PyTorch runs image networks in both orders of memory, channels first and last, and the
faster one counts. Printed is a Markdown table: medians of the rounds of processor time (user and system), and of the
ratios within a round, and the time that the fastest step of all took with one worker and with two.
"""
import argparse, os, platform, re, statistics, subprocess, sys, time

import torch
from torch import nn
from torch.nn import functional as F

CLASSES, PACKETS = 27, 10


def normal(*layers):
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    def __init__(self, before, mid, after, stride):
        super().__init__()
        self.body = normal(
            nn.Conv2d(before, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU(inplace=True),
            nn.Conv2d(mid, mid, 3, stride, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU(inplace=True),
            nn.Conv2d(mid, after, 1, bias=False), nn.BatchNorm2d(after))
        self.projection = normal(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        return F.relu(self.body(x) + self.projection(x), inplace=True)


class PaperPacket(nn.Module):
    """Paper A's packet network: 784 bytes as an image."""
    def __init__(self):
        super().__init__()
        self.layers = normal(
            nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
            Bottleneck(16, 16, 64, 1), Bottleneck(64, 32, 128, 2), Bottleneck(128, 64, 256, 2))
        self.dense, self.head = nn.Linear(256, 128), nn.Linear(128, CLASSES)

    def encode(self, x):
        return F.relu(self.dense(self.layers(x).mean((2, 3))))

    def loss(self, x, labels):
        return F.cross_entropy(self.head(self.encode(x)), labels, label_smoothing=0.05)

    def sample(self, batch):
        return torch.randint(256, (batch, 1, 28, 28)).float() / 255, torch.randint(CLASSES, (batch,))


class DefaultPacket(nn.Module):
    """The packet network of the profile default: embedded bytes, a strided convolution, and a bag of runs of four."""
    def __init__(self):
        super().__init__()
        self.bytes = nn.Embedding(257, 8)
        self.conv = nn.Conv1d(8, 32, 8, 4, bias=False)
        self.conv_norm = nn.BatchNorm1d(32)
        self.grams, self.grams_norm = nn.EmbeddingBag(8192, 32, mode="sum"), nn.BatchNorm1d(32)
        self.dense, self.dense_norm = nn.Linear(63 * 32 + 32, 96, bias=False), nn.BatchNorm1d(96)
        self.head = nn.Linear(96, CLASSES)

    def encode(self, text):
        x = F.relu(self.conv_norm(self.conv(self.bytes(text).transpose(1, 2)))).flatten(1)
        # The hash is of 32 bits; a fifth of the runs are hidden.
        t = text.long()
        run = (t[:, :-3] << 24 | t[:, 1:-2] << 16 | t[:, 2:-1] << 8 | t[:, 3:]) * 0x9e3779b1 >> 19 & 8191
        weight = (torch.rand(run.shape) >= 0.2).float()
        bag = self.grams(run, per_sample_weights=weight * weight.sum(1, keepdim=True).rsqrt())
        return F.relu(self.dense_norm(self.dense(torch.cat((x, self.grams_norm(bag)), 1))))

    def loss(self, text, labels):
        return F.cross_entropy(self.head(self.encode(text)), labels, label_smoothing=0.05)

    def sample(self, batch):
        return torch.randint(256, (batch, 256)), torch.randint(CLASSES, (batch,))


class PaperFlow(nn.Module):
    """Paper A's flow network: an LSTM of two layers over rows of 784 bytes, a class after each."""
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(784, 128, 2, batch_first=True, dropout=0.3)
        self.head = nn.Linear(128, CLASSES)

    def loss(self, x, labels):
        y = self.head(F.dropout(self.lstm(x)[0], 0.3))
        return F.cross_entropy(y.flatten(0, 1), labels, label_smoothing=0.05)

    def sample(self, batch):
        return torch.rand(batch, PACKETS, 784), torch.randint(CLASSES, (batch * PACKETS,))


class DefaultFlow(nn.Module):
    """The cascade of the profile default: every packet encoded, an LSTM over encodings, lengths and scalars."""
    def __init__(self):
        super().__init__()
        self.packet = DefaultPacket()
        self.lengths = nn.Embedding(2048, 16)
        self.lstm = nn.LSTM(96 + 16 + 6, 128, batch_first=True)
        self.head = nn.Linear(128, CLASSES)

    def loss(self, inputs, labels):
        text, lengths, scalars = inputs
        encoding = self.packet.encode(text)
        x = F.dropout(torch.cat((encoding, self.lengths(lengths), scalars), 1), 0.4)
        h = F.dropout(self.lstm(x.view(-1, PACKETS, x.shape[1]))[0], 0.4).flatten(0, 1)
        return (F.cross_entropy(self.head(h), labels, label_smoothing=0.05)
                + 0.5 * F.cross_entropy(self.packet.head(encoding), labels, label_smoothing=0.05))

    def sample(self, batch):
        rows = batch * PACKETS
        return (torch.randint(256, (rows, 256)), torch.randint(2048, (rows,)), torch.rand(rows, 6)), torch.randint(CLASSES, (rows,))


class Window(nn.Module):
    """Paper B's network: three windows through an LSTM, trained to give them back."""
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(53, 64, batch_first=True), nn.Linear(64, 53)

    def loss(self, x, _):
        return F.mse_loss(self.out(self.lstm(x)[0]), x)

    def sample(self, batch):
        return torch.rand(batch, 3, 53), None


NETWORKS = {"packet-paper": PaperPacket, "packet-default": DefaultPacket, "flow-paper": PaperFlow,
            "flow-default": DefaultFlow, "window-default": Window}


class Trainer:
    """One network in PyTorch."""
    def __init__(self, make, batch, order=torch.contiguous_format):
        self.net = make().to(memory_format=order)
        self.x, self.labels = self.net.sample(batch)
        if order == torch.channels_last:
            self.x = self.x.to(memory_format=order)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), 1e-4)

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.net.loss(self.x, self.labels).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1)
        self.optimiser.step()

    def measure(self, steps):
        """Return the milliseconds of processor time of a step."""
        before = time.process_time()
        for _ in range(steps):
            self.step()
        return (time.process_time() - before) * 1000 / steps


def run(args, name, workers, steps, rounds):
    """Train in weir and return the milliseconds of processor time and of time passed of a step, for each round."""
    network, profile = name.split("-")
    out = subprocess.run([args.weir, "-network", network, "-profile", profile, "-batch", str(args.batch), "-workers", str(workers),
                          "-steps", str(steps), "-rounds", str(rounds)], check=True, capture_output=True, text=True,
                         env=dict(os.environ, GOMAXPROCS=str(workers))).stdout
    return [[float(v) for v in pair] for pair in re.findall(r"([0-9.]+) ms of CPU, ([0-9.]+) ms passed", out)]


def fastest(args, name, workers, steps):
    """Return the time that the fastest of many steps took: on a shared machine the others waited for a processor."""
    return min(passed for _, passed in run(args, name, workers, 1, steps))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weir", default="bin/training")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.5, help="of PyTorch in a round")
    p.add_argument("--networks", default=",".join(NETWORKS))
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    print("PyTorch %s, OPENBLAS_CORETYPE=%s, batch %d, %s" % (
        torch.__version__, os.environ.get("OPENBLAS_CORETYPE", ""), args.batch, platform.machine()))
    print("| network | weir: ms of CPU per step | PyTorch | ratio | fastest step, one worker: ms | two workers | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in args.networks.split(","):
        trainers = [Trainer(NETWORKS[name], args.batch)]
        if name == "packet-paper":
            trainers.append(Trainer(NETWORKS[name], args.batch, torch.channels_last))
        for t in trainers:
            t.measure(3)
        steps = max(5, int(args.seconds * 1000 / trainers[0].measure(3)))
        ours, theirs, ratios, one, two = [], [], [], [], []
        for _ in range(args.rounds):
            own = run(args, name, 1, steps, 1)[0][0]
            other = min(t.measure(steps) for t in trainers)
            ours.append(own)
            theirs.append(other)
            ratios.append(other / own)
            one.append(fastest(args, name, 1, 4 * steps))
            two.append(fastest(args, name, 2, 8 * steps))
        print("| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |" % (
            name, statistics.median(ours), statistics.median(theirs), statistics.median(ratios), min(one), min(two), min(one) / min(two)))
        sys.stdout.flush()


main()
