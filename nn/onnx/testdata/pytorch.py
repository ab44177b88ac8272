#!/usr/bin/env python3
"""Writes pytorch-*.onnx and pytorch-*.json: networks as PyTorch exports them, and what it computes with them.

Needs torch (Debian: python3-torch). Run it in this directory to make the files anew.
"""
import json
import warnings

import torch
from torch import nn

warnings.simplefilter("ignore")


class Image(nn.Module):
    """A convolution with batch normalisation, one without, and what follows a flattened image."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.dense, self.norm2, self.out = nn.Linear(6 * 9, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x.float() / 255)))
        x = torch.flatten(torch.relu(self.conv2(x)), 1)
        return self.out(self.norm2(torch.relu(self.dense(x))))


class Residual(nn.Module):
    """Two ways that meet, and the mean over the image."""

    def __init__(self):
        super().__init__()
        self.stem, self.body, self.side = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 6, 1, stride=2)
        self.pool, self.out = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x.view(-1, 1, 12, 12)))
        x = torch.relu(self.body(x) + self.side(x))
        x = self.pool(x)
        return torch.softmax(self.out(x.view(x.size(0), -1)), 1)


class Text(nn.Module):
    """An embedding, a convolution along it, and the mean over its places."""

    def __init__(self):
        super().__init__()
        self.table, self.conv, self.out = nn.Embedding(257, 4), nn.Conv1d(4, 6, 5, stride=2), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.relu(self.conv(self.table(x).transpose(1, 2))).mean(2))


class Sequence(nn.Module):
    """Two recurrent layers, their last state, and a dense layer of each state."""

    def __init__(self):
        super().__init__()
        self.lstm, self.each, self.last = nn.LSTM(5, 4, 2, batch_first=True), nn.Linear(4, 5), nn.Linear(4, 3)

    def forward(self, x):
        h, (last, _) = self.lstm(x)
        return self.each(h), self.last(h[:, -1]), self.last(last[-1])


def main():
    torch.manual_seed(1)
    for name, net, x, outputs in [
        ("image", Image(), torch.randint(0, 256, (2, 1, 12, 12), dtype=torch.uint8), ["scores"]),
        ("residual", Residual(), torch.rand(2, 144), ["shares"]),
        ("text", Text(), torch.randint(0, 257, (2, 24)), ["scores"]),
        ("sequence", Sequence(), torch.randn(2, 3, 5), ["each", "last", "state"]),
    ]:
        for _ in range(20):  # running statistics that are not the first ones
            net(x)
        net.eval()
        torch.onnx.export(net, x, f"pytorch-{name}.onnx", opset_version=13, input_names=["x"], output_names=outputs,
                          dynamic_axes={n: {0: "batch"} for n in ["x", *outputs]})
        y = net(x)
        y = y if isinstance(y, tuple) else (y,)
        with open(f"pytorch-{name}.json", "w") as f:
            json.dump({"x": x.flatten().tolist(), "y": [v.flatten().tolist() for v in y]}, f)
            f.write("\n")


if __name__ == "__main__":
    main()
