#!/usr/bin/env python3
"""Trains packet networks for weir in PyTorch, see pytorch.md.

  pytorch.py train OUT.onnx LABEL=IMAGES…                      a new network; labels go to OUT.txt
  pytorch.py refine IN.safetensors OUT.safetensors LABEL=IMAGES…  weir's own, of profile paper, trained further

IMAGES are directories that `weir dataset images --unit packet` wrote. Written for PyTorch 1.13.
"""
import json
import pathlib
import struct
import sys

import torch
from torch import nn


def images(directory):
    """The payload images of a directory, (n, 1, 28, 28) bytes."""
    data = (pathlib.Path(directory) / "packet-images-idx3-ubyte").read_bytes()
    _, n, height, width = struct.unpack(">4I", data[:16])
    return torch.frombuffer(bytearray(data[16:]), dtype=torch.uint8).view(n, 1, height, width)


def dataset(arguments):
    """Labels, images and the class of each image. Equal images of one class count once."""
    labels, x, y = [], [], []
    for argument in arguments:
        label, directory = argument.split("=", 1)
        if label not in labels:
            labels.append(label)
        some = torch.unique(images(directory), dim=0)
        x.append(some)
        y.append(torch.full((len(some),), labels.index(label)))
    return labels, torch.cat(x), torch.cat(y)


def fit(net, x, y, steps=300, rate=2e-3):
    """Trains on batches of 64 in which every class is as frequent as the others."""
    share = 1 / torch.bincount(y)[y].float()
    adam = torch.optim.AdamW(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, rate, total_steps=steps)
    net.train()
    for _ in range(steps):
        batch = torch.multinomial(share, 64, replacement=True)
        loss = nn.functional.cross_entropy(net(x[batch]), y[batch], label_smoothing=0.05)
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        right = sum((net(a).argmax(1) == b).sum().item() for a, b in zip(x.split(256), y.split(256)))
    print(f"loss {loss.item():.3f}, {right} of {len(y)} training images right")


class Net(nn.Module):
    """Bytes in, a score per label out. What weir can read of PyTorch is in formats.md."""

    def __init__(self, labels):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU())
        self.head = nn.Linear(64, labels)

    def forward(self, x):
        return self.head(self.body(x.float() / 255))


def train(out, arguments):
    labels, x, y = dataset(arguments)
    net = Net(len(labels))
    fit(net, x, y)
    torch.onnx.export(net, x[:1], out, opset_version=13, input_names=["bytes"], output_names=["scores"],
                      dynamic_axes={"bytes": {0: "batch"}, "scores": {0: "batch"}})
    pathlib.Path(out).with_suffix(".txt").write_text("".join(label + "\n" for label in labels))


class Bottleneck(nn.Module):
    def __init__(self, inputs, mid, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, mid, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = nn.Conv2d(mid, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.projection = nn.ModuleDict({"conv": nn.Conv2d(inputs, outputs, 1, stride, bias=False), "bn": nn.BatchNorm2d(outputs)})

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + self.projection["bn"](self.projection["conv"](x)))


class Paper(nn.Module):
    """The packet network of profile paper; the modules are named as weir names its weights."""

    def __init__(self, labels):
        super().__init__()
        self.packet = nn.ModuleDict({
            "stem": nn.ModuleDict({"conv": nn.Conv2d(1, 16, 3, 2, 1, bias=False), "bn": nn.BatchNorm2d(16)}),
            "block1": Bottleneck(16, 16, 64, 1), "block2": Bottleneck(64, 32, 128, 2), "block3": Bottleneck(128, 64, 256, 2),
            "dense": nn.Linear(256, 128), "head": nn.Linear(128, labels)})

    def forward(self, x):
        p = self.packet
        x = torch.relu(p["stem"]["bn"](p["stem"]["conv"](x.float() / 255)))
        x = p["block3"](p["block2"](p["block1"](x))).mean((2, 3))
        return p["head"](torch.relu(p["dense"](x)))


def read(path):
    """The header of a safetensors file and its tensors."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            first, last = (8 + length + o for o in t["data_offsets"])
            tensors[name] = torch.frombuffer(bytearray(data[first:last]), dtype=torch.float32).view(t["shape"])
    return header, tensors


def write(path, header, tensors):
    """Writes tensors in the place of those that were read."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    order = sorted((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    body = b"".join(tensors[n].detach().contiguous().numpy().tobytes() for n in order)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def turned(t, back=False):
    """weir's order of weights, inputs before outputs and channels last, turned into PyTorch's, or back."""
    if t.dim() == 4:
        return t.permute(2, 3, 1, 0) if back else t.permute(3, 2, 0, 1)
    return t.t() if t.dim() == 2 else t


def refine(source, out, arguments):
    header, tensors = read(source)
    manifest = json.loads(header["__metadata__"]["weir.manifest"])
    names, x, y = dataset(arguments)
    labels = manifest["labels"]
    y = torch.tensor([labels.index(name) for name in names])[y]  # the classes are the model's
    net = Paper(len(labels))
    own = {n: turned(t) for n, t in tensors.items() if n.startswith("packet.")}
    missing, unexpected = net.load_state_dict(own, strict=False)
    if unexpected or any("num_batches" not in n for n in missing):
        sys.exit(f"{source} has no packet network of profile paper: {missing} missing, {unexpected} unexpected")
    fit(net, x, y, steps=60, rate=2e-4)
    tensors.update({n: turned(t, back=True) for n, t in net.state_dict().items() if n in own})
    write(out, header, tensors)


def main():
    torch.manual_seed(1)
    if len(sys.argv) > 3 and sys.argv[1] == "train":
        train(sys.argv[2], sys.argv[3:])
    elif len(sys.argv) > 4 and sys.argv[1] == "refine":
        refine(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
