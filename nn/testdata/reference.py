#!/usr/bin/python3
"""Writes the reference tensors of parity_test.go with PyTorch: python3 reference.py

Each file holds one small network with its start, one batch, and what PyTorch makes of them in
float64: outputs, loss, gradients, the losses of ten training steps on that batch, the weights
after them, and what the trained network then says in evaluation. Written with PyTorch 1.13.
Sequences are ragged, and weights in the order of package nn: input before output, channels last.
"""
import json
import pathlib
import struct

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

HERE = pathlib.Path(__file__).parent


def write(name, tensors):
    header, body = {"__metadata__": {"torch": torch.__version__}}, b""
    for key, t in sorted(tensors.items()):
        data = t.detach().to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        header[key] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / name).write_bytes(struct.pack("<Q", len(text)) + text + body)


def ours(name, t):
    """Moves a tensor of a parameter into the order of package nn."""
    if t.dim() == 4:  # out, in, height, width
        return t.permute(2, 3, 1, 0)
    if t.dim() == 3:  # out, in, width
        return t.permute(2, 1, 0).unsqueeze(0)
    if t.dim() == 2 and "embedding" not in name:
        return t.t()
    return t


def parameters(prefix, model, of=lambda p: p):
    named = list(model.named_parameters()) + [(k, b) for k, b in model.named_buffers() if "num_batches" not in k]
    return {f"{prefix}.{k}": ours(k, of(p)) for k, p in named if of(p) is not None}


def reference(name, model, loss, data, decay=0.0, clip=None, rate=3e-3):
    """data holds the tensors that the Go test reads; loss(output) is the scalar to train on."""
    model.double().train()
    for k, b in model.named_buffers():
        b.data = b.data.clone()
    out = dict(data)
    out |= {k: v.clone() for k, v in parameters("start", model).items()}
    flat = [p for p in model.parameters() if p.dim() < 2]
    rest = [p for p in model.parameters() if p.dim() >= 2]
    adam = torch.optim.AdamW([{"params": rest, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}], lr=rate)
    losses, norms = [], []
    for step in range(10):
        adam.zero_grad()
        y = model()
        l = loss(y)
        l.backward()
        if step == 0:
            out["output"] = y.clone()
            out |= {k: v.clone() for k, v in parameters("grad", model, lambda p: p.grad).items()}
        if clip:
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), clip).item())
        adam.step()
        losses.append(l.item())
    out |= parameters("trained", model)
    model.eval()
    out["evaluated"] = model()
    out["losses"] = torch.tensor(losses)
    if clip:
        out["norms"] = torch.tensor(norms)
    print(name, sum(p.numel() for p in model.parameters()), "parameters, losses", losses[0], losses[-1])
    write(name, out)


class Bottleneck(nn.Module):
    def __init__(self, inputs, mid, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, mid, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = nn.Conv2d(mid, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.projection = nn.Module()
        self.projection.conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.projection.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.projection.bn(self.projection.conv(x)))


class PacketCNN(nn.Module):
    """28x28 bytes, stem 3x3/2, three bottleneck blocks, dense."""

    def __init__(self, x, stem, blocks, classes):
        super().__init__()
        self.x = x
        self.stem, self.bn = nn.Conv2d(1, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem)
        self.block1 = Bottleneck(stem, blocks[0] // 4, blocks[0], 1)
        self.block2 = Bottleneck(blocks[0], blocks[1] // 4, blocks[1], 2)
        self.block3 = Bottleneck(blocks[1], blocks[2] // 4, blocks[2], 2)
        self.dense = nn.Linear(blocks[2], classes)

    def forward(self):
        y = torch.relu(self.bn(self.stem(self.x)))
        y = self.block3(self.block2(self.block1(y)))
        return self.dense(y.mean((2, 3)))


def ragged(lstm, rows, lengths):
    """Runs an LSTM over sequences of different lengths, given and returned as ragged rows."""
    padded = pad_sequence(torch.split(rows, lengths), batch_first=True)
    packed = pack_padded_sequence(padded, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    y, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True)
    return torch.cat([y[i, :n] for i, n in enumerate(lengths)])


class FlowLSTM(nn.Module):
    """Two layers over raw bytes, the class from the last step."""

    def __init__(self, x, lengths, inputs, hidden, classes):
        super().__init__()
        self.x, self.lengths = x, lengths
        self.lstm, self.dense = nn.LSTM(inputs, hidden, 2, batch_first=True), nn.Linear(hidden, classes)

    def forward(self):
        last = torch.tensor(self.lengths).cumsum(0) - 1
        return self.dense(ragged(self.lstm, self.x, self.lengths)[last])


class WindowLSTM(nn.Module):
    """Three windows in, the same three out."""

    def __init__(self, x, features, hidden):
        super().__init__()
        self.x = x
        self.lstm, self.dense = nn.LSTM(features, hidden, batch_first=True), nn.Linear(hidden, features)

    def forward(self):
        return self.dense(self.lstm(self.x)[0])


class StepwiseFlow(nn.Module):
    """Bytes to vectors, convolution, dense; with length and scalars into an LSTM; a class at every step."""

    def __init__(self, text, sizes, scalars, lengths, vocabulary, vector, channels, encoding, size_vector, hidden, classes):
        super().__init__()
        self.text, self.sizes, self.scalars, self.lengths = text, sizes, scalars, lengths
        self.embedding = nn.Embedding(vocabulary, vector)
        self.conv, self.bn1 = nn.Conv1d(vector, channels, 8, 4, bias=False), nn.BatchNorm1d(channels)
        self.dense, self.bn2 = nn.Linear((text.shape[1] - 8) // 4 * channels + channels, encoding, bias=False), nn.BatchNorm1d(encoding)
        self.size_embedding = nn.Embedding(int(sizes.max()) + 1, size_vector)
        self.lstm = nn.LSTM(encoding + size_vector + scalars.shape[1], hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self):
        y = self.embedding(self.text).transpose(1, 2)
        y = torch.relu(self.bn1(self.conv(y)))
        y = y.transpose(1, 2).flatten(1)  # channels last
        y = torch.relu(self.bn2(self.dense(y)))
        y = torch.cat([y, self.size_embedding(self.sizes), self.scalars], 1)
        return self.head(ragged(self.lstm, y, self.lengths))


def main():
    torch.manual_seed(7)
    labels = torch.tensor([0, 3, 1, 4, 2, 2])

    # Dyadic values are the same in float32 and float64.
    x = torch.randint(0, 256, (6, 1, 28, 28)).double() / 256
    cnn = PacketCNN(x, 4, (8, 16, 32), 5)
    reference("cnn.safetensors", cnn, lambda y: cross_entropy(y, labels), {"x": x.squeeze(1), "labels": labels})

    lengths = [3, 10, 1, 7, 10, 2]
    x = torch.randint(0, 256, (sum(lengths), 49)).double() / 256
    flow = FlowLSTM(x, lengths, 49, 8, 5)
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 0.25], dtype=torch.double)
    reference("flow.safetensors", flow, lambda y: cross_entropy(y, labels, weight=weights),
              {"x": x, "lengths": torch.tensor(lengths), "labels": labels, "class_weights": weights}, clip=0.5)

    x = torch.randint(0, 256, (8, 3, 20)).double() / 256
    window = WindowLSTM(x, 20, 16)
    reference("window.safetensors", window, lambda y: mse_loss(y, x), {"x": x})

    text = torch.randint(0, 32, (sum(lengths), 32))
    sizes = torch.randint(0, 10, (sum(lengths),))
    scalars = torch.randint(-256, 256, (sum(lengths), 2)).double() / 256
    steps = StepwiseFlow(text, sizes, scalars, lengths, 32, 4, 6, 12, 3, 10, 5)
    each = torch.repeat_interleave(labels, torch.tensor(lengths))
    row_weights = torch.randint(0, 4, (sum(lengths),)).double() / 2
    row_weights[::5] = 0

    def loss(y):
        rows = cross_entropy(y, each, weight=weights, label_smoothing=0.1, reduction="none")
        return (rows * row_weights).sum() / (weights[each] * row_weights).sum()

    reference("steps.safetensors", steps, loss, {
        "text": text, "sizes": sizes, "scalars": scalars, "lengths": torch.tensor(lengths), "labels": each,
        "class_weights": weights, "row_weights": row_weights}, decay=0.05)


main()
