#!/usr/bin/env python3
"""Run weir's networks beside PyTorch and ONNX Runtime, in turn, and compare their processor time.

    make onnxruntime
    bench/neural.py [--work DIR] [--rounds 5] [--cpu 0] [--cases packet,flow,…]

Needs Go, node with ONNX Runtime (`make onnxruntime`), PyTorch and the onnx package (Debian: python3-torch,
python3-onnx). Models are trained on the sample captures, exported by `weir model export`, and the very same files and
inputs go to all. Each engine is a process of one thread on one processor; in every round each does as many batches as
take it about --seconds, one after the other. The median of the rounds counts. Printed are Markdown tables: microseconds
of processor time (user and system) per item, and how many times that of weir this is: above 1 weir is faster.

PyTorch runs traced and frozen (torch.jit), with OPENBLAS_CORETYPE=SKYLAKEX where the processor has AVX-512: OpenBLAS takes
newer ones for older; of images with channels first and last the faster layout counts. ONNX Runtime's int8 network is quantised here, statically, as its documentation says (QDQ,
activations uint8 per tensor, weights int8 per channel), with ranges from real payloads. A call from node into ONNX
Runtime costs something whatever the network is: the row "an empty network" says how much.
"""
import argparse, json, math, os, pathlib, platform, random, statistics, struct, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "docs"))

CLASSES = ["dns", "ftp", "http", "https", "redis", "ssh"]


# --- models and inputs -------------------------------------------------------------------------------------------

def weir(args, *command):
    return subprocess.run([str(args.work / "weir"), *command, "--models", str(args.work / "models")], check=True, cwd=args.work)


def version(args, name):
    return (args.work / "models" / name / "live").read_text().split()[-1]


def prepare(args):
    """Builds the programs, trains the models, exports them; what is there is kept."""
    args.work.mkdir(parents=True, exist_ok=True)
    for name, source in [("weir", "./cmd/weir"), ("neural", "./bench/neural")]:
        subprocess.run(["go", "build", "-o", str(args.work / name), source], check=True, cwd=ROOT, env=dict(os.environ, CGO_ENABLED="0"))
    captures = args.work / "captures"
    for label in CLASSES:
        (captures / label).mkdir(parents=True, exist_ok=True)
        for f in sorted((ROOT / "samples" / "apps").glob(label + "-*")):
            if not (captures / label / f.name).exists():
                (captures / label / f.name).symlink_to(f)
        if not (args.work / "images" / label).exists():
            weir(args, "dataset", "images", "-q", "-r", str(captures / label), "--unit", "packet", "-o", str(args.work / "images" / label))
    for name, command in [("default", ["train", "apps", "--data", "captures", "--epochs", "4"]),
                          ("paper", ["train", "apps", "--data", "captures", "--epochs", "4", "--profile", "paper"]),
                          ("watch", ["train", "anomaly", "-r", str(ROOT / "samples" / "normal.pcapng.zst"), "--window", "1s"])]:
        if not (args.work / "models" / name / "live").exists():
            weir(args, *command, "--model", name)
        weir(args, "model", "export", "-q", name, "--safetensors", name + ".safetensors")
        for network in ["windows"] if name == "watch" else ["packet", "flow"]:
            weir(args, "model", "export", "-q", name, "--network", network, "--onnx", "%s-%s.onnx" % (name, network))


def payloads(args):
    """Payload images of the sample captures, 784 bytes each, of all labels alike."""
    rows = []
    for label in CLASSES:
        data = (args.work / "images" / label / "packet-images-idx3-ubyte").read_bytes()[16:]
        some = [data[i:i + 784] for i in range(0, len(data), 784)]
        random.Random(1).shuffle(some)
        rows += some[:64]
    random.Random(2).shuffle(rows)
    return rows


def grams(row, count=8192, length=253):
    """The runs of four bytes of a row, hashed, see `weir model export`'s weir.preprocessing."""
    shift = 32 - (count - 1).bit_length()
    row = row[:row.index(256)] if 256 in row else row
    out = [(int.from_bytes(bytes(row[i:i + 4]), "big") * 0x9e3779b1 & 0xffffffff) >> shift for i in range(len(row) - 3)]
    return out + [count] * (length - len(out))


def texts(rows):
    """Rows of 256 indices: the first bytes of payloads, 256 after the last that is not zero."""
    out = []
    for row in rows:
        end = len(row[:256].rstrip(b"\0"))
        out.append(list(row[:end]) + [256] * (256 - end))
    return out


def save(args, name, arrays):
    """Writes inputs: a file for each, and their shapes in NAME.json."""
    directory = args.work / "inputs" / name
    directory.mkdir(parents=True, exist_ok=True)
    code = {"uint8": "B", "int64": "q", "float32": "f"}
    shapes = []
    for key, (kind, dims, values) in arrays.items():
        shapes.append({"name": key, "type": kind, "dims": dims})
        (directory / key).write_bytes(struct.pack("<%d%s" % (len(values), code[kind]), *values))
    (args.work / "inputs" / (name + ".json")).write_text(json.dumps(shapes))


def flat(rows):
    return [v for row in rows for v in row]


def make_inputs(args):
    r = random.Random(3)
    real = payloads(args)
    full = [bytes(r.randrange(1, 256) for _ in range(784)) for _ in range(256)]
    short = [row[:300] + bytes(484) for row in full]
    for name, rows in [("real", real), ("full", full), ("300", short)]:
        save(args, "image-" + name, {"bytes": ("uint8", [1, 28, 28], flat(rows))})
        text = texts(rows)
        save(args, "text-" + name, {"bytes": ("int64", [256], flat(text)), "grams": ("int64", [253], flat(map(grams, text)))})
    save(args, "flow-full", {"bytes": ("uint8", [7840], flat(full[:250]))})
    save(args, "flow-300", {"bytes": ("uint8", [7840], flat(short[:250]))})
    save(args, "flow-real", {"bytes": ("uint8", [7840], flat(real[:250]))})
    save(args, "row-real", {"bytes": ("uint8", [784], flat(real[:250]))})
    save(args, "row-full", {"bytes": ("uint8", [784], flat(full[:250]))})
    save(args, "row-300", {"bytes": ("uint8", [784], flat(short[:250]))})
    floats = lambda n: [r.gauss(0, 1) for _ in range(n)]
    for name, n, steps in [("encoded", 64, 10), ("step", 640, 1)]:
        save(args, name, {
            "encoding": ("float32", [steps, 96], floats(n * steps * 96)),
            "length": ("int64", [steps], [r.randrange(2048) for _ in range(n * steps)]),
            "scalars": ("float32", [steps, 6], floats(n * steps * 6))})
    save(args, "windows", {"windows": ("float32", [3, 53], floats(256 * 3 * 53))})


# --- ONNX Runtime's int8 -----------------------------------------------------------------------------------------

def quantise(args, source, calibration, target):
    """Writes a QDQ network: batch normalisation folded, activations uint8, weights int8 per output channel."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
    m = onnx.load(str(args.work / source))
    g = m.graph
    weights = {t.name: numpy_helper.to_array(t) for t in g.initializer}

    # Batch normalisation goes into the convolution before it; bytes are the first activation, of scale 1/255.
    nodes, renamed, byte_scale = [], {}, None
    for n in g.node:
        n.input[:] = [renamed.get(i, i) for i in n.input]
        before = nodes[-1] if nodes else None
        if n.op_type == "BatchNormalization" and before.op_type == "Conv" and before.output[0] == n.input[0]:
            gain, offset = weights[n.input[1]], weights[n.input[2]]
            weights[before.input[1]] = weights[before.input[1]] * gain.reshape(-1, 1, 1, 1)
            old = weights[before.input[2]] if len(before.input) > 2 else 0
            name = before.name + ".folded"
            weights[name] = (old * gain + offset).astype(np.float32)
            before.input[:] = [before.input[0], before.input[1], name]
            renamed[n.output[0]] = before.output[0]
        elif n.op_type == "Cast" and n.input[0] == "bytes":
            renamed[n.output[0]] = "bytes"
        elif n.op_type == "Mul" and n.input[0] == "bytes":
            byte_scale = np.float32(weights[n.input[1]].reshape(-1)[0])
            nodes.append(helper.make_node("DequantizeLinear", ["bytes", "bytes.scale", "zero"], ["pixels"], name="pixels"))
            renamed[n.output[0]] = "pixels"
        else:
            nodes.append(n)
    for o in g.output:
        for n in nodes:
            n.output[:] = [renamed.get(i, i) for i in n.output]

    # Ranges of all activations, as the network in float32 has them.
    outputs = [n.output[0] for n in nodes]
    probe = onnx.ModelProto()
    probe.CopyFrom(m)
    del probe.graph.node[:]
    probe.graph.node.extend(nodes)
    weights["bytes.scale"], weights["zero"] = np.array(byte_scale, np.float32), np.array(0, np.uint8)
    constants = lambda values: [numpy_helper.from_array(np.array(v, order="C"), k) for k, v in values.items()]
    del probe.graph.initializer[:]
    read = {i for n in nodes for i in n.input}
    probe.graph.initializer.extend(constants({k: v for k, v in weights.items() if k in read}))
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, None) for o in outputs)
    onnx.save(probe, str(args.work / "probe.onnx"))
    p = Process(args, ["node", str(HERE / "neural" / "onnxruntime.mjs"), str(args.work / "probe.onnx"),
                       str(args.work / "inputs" / (calibration + ".json")), str(args.work / "inputs" / calibration), "32"])
    ranges = {k: (min(0, min(v)), max(0, max(v))) for k, v in p.first.items()}
    p.close()

    # A pair of QuantizeLinear and DequantizeLinear after every activation but those that go into a ReLU alone.
    out, values, codes = [], {"bytes.scale": weights["bytes.scale"], "zero": weights["zero"]}, {"pixels": "pixels"}
    scales = {"pixels": byte_scale}
    for n in nodes:
        if n.op_type in ("Conv", "Gemm"):
            w = weights[n.input[1]]
            axis = 0 if n.op_type == "Conv" else 1
            peak = np.maximum(np.abs(w).max(axis=tuple(i for i in range(w.ndim) if i != axis)), 1e-8) / 127
            shape = [1] * w.ndim
            shape[axis] = -1
            q = np.clip(np.round(w / peak.reshape(shape)), -127, 127).astype(np.int8)
            scale_x = scales[n.input[0]]
            x = codes[n.input[0]]
            args_in = [x, n.name + ".w"]
            values.update({n.name + ".q": q, n.name + ".s": peak.astype(np.float32), n.name + ".z": np.zeros(len(peak), np.int8)})
            out.append(helper.make_node("DequantizeLinear", [n.name + ".q", n.name + ".s", n.name + ".z"], [n.name + ".w"], name=n.name + ".dw", axis=axis))
            if len(n.input) > 2:
                bias_scale = (peak * scale_x).astype(np.float32)
                values.update({n.name + ".bq": np.round(weights[n.input[2]] / bias_scale).astype(np.int32), n.name + ".bs": bias_scale,
                               n.name + ".bz": np.zeros(len(peak), np.int32)})
                out.append(helper.make_node("DequantizeLinear", [n.name + ".bq", n.name + ".bs", n.name + ".bz"], [n.name + ".b"], name=n.name + ".db", axis=0))
                args_in.append(n.name + ".b")
            n.input[:] = args_in
        else:
            for i in n.input:
                if i in weights and i not in values:
                    values[i] = weights[i]
            n.input[:] = [codes.get(i, i) for i in n.input]
        out.append(n)
        name = n.output[0]
        users = [u for u in nodes if name in u.input]
        if name in scales or not users or all(u.op_type == "Relu" for u in users):
            continue
        low, high = ranges[name]
        scale = np.float32(max(high - low, 1e-8) / 255)
        zero = np.uint8(round(-low / scale))
        scales[name], codes[name] = scale, name + ".dq"
        values.update({name + ".scale": np.array(scale), name + ".zero": np.array(zero)})
        out.append(helper.make_node("QuantizeLinear", [name, name + ".scale", name + ".zero"], [name + ".uint8"], name=name + ".q"))
        out.append(helper.make_node("DequantizeLinear", [name + ".uint8", name + ".scale", name + ".zero"], [name + ".dq"], name=name + ".dq"))
    del g.node[:], g.initializer[:]
    g.node.extend(out)
    g.initializer.extend(constants(values))
    onnx.save(m, str(args.work / target))


def empty(args):
    """Writes a network that does nothing to speak of, for what a call costs."""
    import onnx
    from onnx import helper
    value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3, 53])
    g = helper.make_graph([helper.make_node("Identity", ["windows"], ["y"])], "empty", [value("windows")], [value("y")])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)])
    m.ir_version = 7
    onnx.save(m, str(args.work / "empty.onnx"))


# --- PyTorch -----------------------------------------------------------------------------------------------------

def torch_side(command):
    """PyTorch's side, in a process of its own: it speaks as bench/neural/main.go does."""
    import time
    import torch
    from torch import nn
    import pytorch as script
    torch.set_num_threads(1)
    torch.manual_seed(1)

    def load(net, file, prefix=""):
        _, tensors = script.read(file)
        own = {n[len(prefix):]: (t if "embedding" in n or "grams" in n or "length" in n else script.turned(t)) for n, t in tensors.items() if n.startswith(prefix)}
        net.load_state_dict({n: t.reshape(net.state_dict()[n].shape) for n, t in own.items() if n in net.state_dict()}, strict=False)
        return net.eval()

    class Flow(nn.Module):
        def __init__(self, width, hidden, layers, classes, raw):
            super().__init__()
            self.raw = raw
            if not raw:
                self.length = nn.Embedding(2048, 16)
            self.lstm, self.head = nn.LSTM(width, hidden, layers, batch_first=True), nn.Linear(hidden, classes)

        def forward(self, *x):
            if self.raw:
                x = x[0].float().view(-1, 10, 784) / 255
            else:
                x = torch.cat([x[0], self.length(x[1]), x[2]], 2)
            return self.head(self.lstm(x)[0])

    class Windows(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.lstm, self.out = nn.LSTM(53, hidden, batch_first=True), nn.Linear(hidden, 53)

        def forward(self, x):
            return self.out(self.lstm(x)[0])

    class Text(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.embedding = nn.Embedding(257, 8)
            self.conv = nn.ModuleDict({"conv": nn.Conv1d(8, 32, 8, 4, bias=False), "bn": nn.BatchNorm1d(32)})
            self.grams, self.gramsbn = nn.EmbeddingBag(8193, 32, mode="sum", padding_idx=8192), nn.BatchNorm1d(32)
            self.dense, self.densebn = nn.Linear(63 * 32 + 32, 96), nn.BatchNorm1d(96)
            self.head = nn.Linear(96, classes)

        def forward(self, x, runs):
            y = torch.relu(self.conv["bn"](self.conv["conv"](self.embedding(x).transpose(1, 2)))).transpose(1, 2).flatten(1)
            number = (runs < 8192).sum(1, keepdim=True).clamp(min=1).float()
            z = self.gramsbn(self.grams(runs) / number.sqrt())
            return self.head(torch.relu(self.densebn(self.dense(torch.cat([y, z], 1)))))

    def text(file):
        _, t = script.read(file)
        net = Text(t["packet.head.bias"].numel())
        state = net.state_dict()
        names = {"packet.conv.": "conv.conv.", "packet.conv.bn.": "conv.bn.", "packet.grams.bn.": "gramsbn.", "packet.dense.bn.": "densebn."}
        for n, v in t.items():
            if not n.startswith("packet."):
                continue
            short = next((names[k] + n[len(k):] for k in sorted(names, key=len, reverse=True) if n.startswith(k)), n[7:])
            if short == "grams.weight":
                v = torch.cat([v, torch.zeros(1, 32)])
            elif v.dim() == 4:
                v = v.permute(3, 2, 0, 1)
            elif v.dim() == 2 and short != "embedding.weight":
                v = v.t()
            state[short] = v.reshape(state[short].shape)
        net.load_state_dict(state)
        return net.eval()

    kind, file, inputs, directory, batch = command[:5]
    batch = int(batch)
    if kind.startswith("train-"):
        next_batch = torch_training(torch, nn, script, Flow, Windows, kind[6:], batch)
        next_batch()
        print("{}", flush=True)
    else:
        classes = lambda key: script.read(file)[1][key].numel()
        net = {"image": lambda: load(script.Paper(classes("packet.head.bias")), file), "text": lambda: text(file),
               "raw": lambda: load(Flow(784, 128, 2, classes("flow.head.bias"), True), file, "flow."),
               "encoded": lambda: load(Flow(118, 128, 1, classes("flow.head.bias"), False), file, "flow."),
               "windows": lambda: load(Windows(classes("lstm.bias_ih_l0") // 4), file)}[kind]()
        types = {"uint8": torch.uint8, "int64": torch.int64, "float32": torch.float32}
        batches = []
        for s in json.loads(pathlib.Path(inputs).read_text()):
            all_ = torch.frombuffer(bytearray((pathlib.Path(directory) / s["name"]).read_bytes()), dtype=types[s["type"]]).view(-1, *s["dims"])
            count = max(1, len(all_) // batch)
            parts = [all_[torch.arange(i * batch, (i + 1) * batch) % len(all_)].contiguous() for i in range(count)]
            batches = [b + (p,) for b, p in zip(batches or [()] * count, parts)]
        def speed(net):
            for _ in range(5):  # the first calls compile
                net(*batches[0])
            before = time.process_time()
            for _ in range(20):
                net(*batches[0])
            return time.process_time() - before
        with torch.no_grad():
            layouts = [torch.contiguous_format, torch.channels_last] if kind == "image" else [torch.contiguous_format]
            nets = [torch.jit.freeze(torch.jit.trace(net.to(memory_format=f), batches[0])) for f in layouts]
            net = min(nets, key=speed)
            y = net(*batches[0])
        at = [0]

        def next_batch():
            with torch.inference_mode():
                net(*batches[at[0]])
            at[0] = (at[0] + 1) % len(batches)
        print(json.dumps({"scores": y.flatten().tolist()}), flush=True)
    for line in sys.stdin:
        before = time.process_time()
        for _ in range(int(line)):
            next_batch()
        print(time.process_time() - before, flush=True)


def torch_training(torch, nn, script, Flow, Windows, kind, batch):
    """One step of training: forward, loss, backward, AdamW."""
    if kind == "cnn":
        net, x, y = script.Paper(12).to(memory_format=torch.channels_last), torch.randint(0, 256, (batch, 1, 28, 28), dtype=torch.uint8), torch.randint(0, 12, (batch,))
    elif kind == "flow":
        net, x, y = Flow(784, 128, 2, 12, True), torch.randint(0, 256, (batch, 7840), dtype=torch.uint8), torch.randint(0, 12, (batch * 10,))
    else:
        net, x, y = Windows(64), torch.rand(batch, 3, 53), None
    adam = torch.optim.AdamW(net.parameters(), lr=1e-4)
    net.train()

    def step():
        out = net(x)
        loss = nn.functional.mse_loss(out, x) if y is None else nn.functional.cross_entropy(out.flatten(0, -2), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return step


# --- running -----------------------------------------------------------------------------------------------------

class Process:
    """An engine that waits for how many batches it is to do."""

    def __init__(self, args, command, env=None, cpus=None):
        env = dict(os.environ, **{"GOMAXPROCS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **(env or {})})
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cpus or {args.cpu}))
        line = self.process.stdout.readline()
        if not line:
            sys.exit("%s: ended with status %d" % (" ".join(command), self.process.wait()))
        self.first = json.loads(line)
        self.batches = 1

    def run(self, batches):
        self.process.stdin.write("%d\n" % batches)
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def settle(self, seconds):
        """Finds how many batches take about that long."""
        while True:
            took = self.run(self.batches)
            if took > seconds / 4:
                self.batches = max(1, round(self.batches * seconds / took))
                return
            self.batches *= 4

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def engines(args, case, batch):
    """The engines of a case, by name."""
    kind, model, network, inputs, calibration = case
    directory, shapes = str(args.work / "inputs" / inputs), str(args.work / "inputs" / (inputs + ".json"))
    file = str(args.work / ("%s-%s.onnx" % (model, network)))
    neural, node = str(args.work / "neural"), ["node", str(HERE / "neural" / "onnxruntime.mjs")]
    blas = {"OPENBLAS_CORETYPE": "SKYLAKEX"} if "avx512f" in pathlib.Path("/proc/cpuinfo").read_text() else {}
    yield "weir f32", [neural, "-model", file, "-inputs", directory, "-batch", str(batch)], None
    if calibration:
        yield "weir int8", [neural, "-model", file, "-inputs", directory, "-batch", str(batch), "-calibrate", str(args.work / "inputs" / calibration)], None
    if network == "flow":
        one = {"flow-full": "row-full", "flow-300": "row-300", "flow-real": "row-real", "encoded": "step"}
        step = [neural, "-apps", str(args.work / "models" / model / version(args, model)), "-inputs", str(args.work / "inputs" / one[inputs]), "-batch", str(batch)]
        yield "weir f32, packet by packet", step, None
        yield "weir int8, packet by packet", step + ["-calibrate", str(args.work / "inputs" / one[calibration])], None
    yield "ONNX Runtime f32", node + [file, shapes, directory, str(batch)], None
    if kind == "image":
        yield "ONNX Runtime int8", node + [file.replace(".onnx", ".int8.onnx"), shapes, directory, str(batch)], None
    yield "PyTorch jit", [args.python, __file__, "--torch-side", kind, str(args.work / (model + ".safetensors")), shapes, directory, str(batch)], blas


CASES = {  # kind of network for PyTorch, model, network, inputs, inputs that show the ranges for int8
    "packet CNN `paper`, 784 bytes": ("image", "paper", "packet", "image-full", "image-real"),
    "packet CNN `paper`, 300 bytes": ("image", "paper", "packet", "image-300", "image-real"),
    "packet CNN `paper`, real payloads": ("image", "paper", "packet", "image-real", "image-real"),
    "packet network `default`, real payloads": ("text", "default", "packet", "text-real", "text-real"),
    "flow LSTM `paper`, ten packets of 784 bytes": ("raw", "paper", "flow", "flow-full", "flow-real"),
    "flow LSTM `paper`, ten packets of 300 bytes": ("raw", "paper", "flow", "flow-300", "flow-real"),
    "flow LSTM `default`, ten packets": ("encoded", "default", "flow", "encoded", "encoded"),
    "window LSTM": ("windows", "watch", "windows", "windows", "windows"),
}


def compare(args, named):
    """Runs processes in turn and returns the medians of their seconds per batch."""
    processes = {}
    for name, (command, env) in named.items():
        processes[name] = Process(args, command, env)
        processes[name].settle(args.seconds)
    times = {name: [] for name in processes}
    for _ in range(args.rounds):
        for name, p in processes.items():
            times[name].append(p.run(p.batches) / p.batches)
    for p in processes.values():
        p.close()
    ratios = {}
    for name in times:
        ratios[name] = {other: statistics.median(b / a for a, b in zip(times[name], times[other])) for other in times}
    return {n: statistics.median(t) for n, t in times.items()}, ratios, {n: p.first for n, p in processes.items()}


def agreement(name, first, classes):
    """Says how far an engine's first outputs are from weir's."""
    mine, theirs = (next((v for k, v in f.items() if k in ("scores", "windows_expected")), None) for f in (first["weir f32"], first[name]))
    if mine is None or theirs is None or len(mine) != len(theirs) or name == "weir f32":
        return ""
    return "%.1e" % (max(abs(a - b) for a, b in zip(mine, theirs)) / max(1, max(map(abs, mine))))


def inference(args):
    empty(args)
    quantise(args, "paper-packet.onnx", "image-real", "paper-packet.int8.onnx")
    for title, case in CASES.items():
        if args.cases and not any(c in title for c in args.cases.split(",")):
            continue
        for batch in args.batches or ([1, 256] if case[2] == "windows" else [1, 64]):
            named = {name: (command, env) for name, command, env in engines(args, case, batch)}
            if case[2] == "windows":
                shapes, directory = args.work / "inputs" / "windows.json", args.work / "inputs" / "windows"
                named["ONNX Runtime, an empty network"] = (["node", str(HERE / "neural" / "onnxruntime.mjs"), str(args.work / "empty.onnx"), str(shapes), str(directory), str(batch)], None)
            medians, ratios, first = compare(args, named)
            base = [n for n in medians if n.startswith("weir")]
            print("\n%s, batch %d:\n" % (title, batch))
            print("| engine | µs per item | %s | difference |" % " | ".join("× " + n for n in base))
            print("|---|---|%s---|" % ("---|" * len(base)))
            for name, t in medians.items():
                print("| %s | %.2f | %s | %s |" % (name, 1e6 * t / batch, " | ".join("%.2f" % ratios[b][name] for b in base), agreement(name, first, len(CLASSES))), flush=True)


def training(args):
    blas = {"OPENBLAS_CORETYPE": "SKYLAKEX"} if "avx512f" in pathlib.Path("/proc/cpuinfo").read_text() else {}
    print("\nOne step of training, batch 64, forward, loss, backward, AdamW:\n\n| network | weir, ms | PyTorch, ms | × weir |\n|---|---|---|---|")
    for kind, title in [("cnn", "packet CNN `paper`"), ("flow", "flow LSTM `paper`, ten packets"), ("windows", "window LSTM")]:
        medians, ratios, _ = compare(args, {
            "weir": ([str(args.work / "neural"), "-train", kind, "-batch", "64"], None),
            "PyTorch": ([args.python, __file__, "--torch-side", "train-" + kind, "", "", "", "64"], blas)})
        print("| %s | %.2f | %.2f | %.2f |" % (title, 1e3 * medians["weir"], 1e3 * medians["PyTorch"], ratios["weir"]["PyTorch"]), flush=True)


def scaling(args):
    """How much more two workers do than one in the same time, on two processors. The fastest of many short turns counts: on a machine
    that does other things too, the others waited for a processor. The first row is what the processors themselves give: a loop that
    needs neither memory nor caches."""
    print("\nTwo workers over one, the fastest of %d turns of %g s each:\n\n| | batch | µs per item, one worker | two workers | ratio |\n|---|---|---|---|---|" % (16 * args.rounds, args.seconds / 16))
    neural = str(args.work / "neural")
    todo = [("multiplications of registers", [neural, "-peak"], 1)]
    for title, batches in [("packet CNN `paper`, 784 bytes", [1]), ("packet network `default`, real payloads", [1, 32]),
                           ("flow LSTM `paper`, ten packets of 784 bytes", [1, 32]), ("flow LSTM `default`, ten packets", [1, 32]), ("window LSTM", [1, 256])]:
        if args.cases and not any(c in title for c in args.cases.split(",")):
            continue
        for batch in batches:
            for name, command, _ in engines(args, CASES[title], batch):
                if name == "weir int8, packet by packet" or name == "weir int8" and CASES[title][2] != "flow":
                    todo.append((title + ", " + name.removeprefix("weir "), command, batch))
    cpus = set(sorted(os.sched_getaffinity(0))[:2])
    for title, command, batch in todo:
        both = [Process(args, command + ["-workers", str(n)], {"GOMAXPROCS": str(n)}, cpus) for n in (1, 2)]
        for p in both:
            p.settle(args.seconds / 16)
        best = [math.inf, math.inf]
        for _ in range(16 * args.rounds):
            for i, p in enumerate(both):
                best[i] = min(best[i], p.run(p.batches) / p.batches / (i + 1))
        for p in both:
            p.close()
        print("| %s | %d | %.2f | %.2f | %.2f |" % (title, batch, 1e6 * best[0] / batch, 1e6 * best[1] / batch, best[0] / best[1]), flush=True)


def main():
    if "--torch-side" in sys.argv:
        return torch_side(sys.argv[sys.argv.index("--torch-side") + 1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("neural-bench"), help="directory for models and inputs, kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="that each engine runs for in a round")
    parser.add_argument("--cpu", type=int, default=0, help="processor that all run on")
    parser.add_argument("--batches", type=lambda s: [int(b) for b in s.split(",")], help="sizes of batches (default 1,64; of windows 1,256)")
    parser.add_argument("--cases", help="words, with commas between, of which a case's name must have one")
    parser.add_argument("--python", default=sys.executable, help="that has PyTorch")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--no-inference", action="store_true")
    parser.add_argument("--no-scaling", action="store_true")
    args = parser.parse_args()
    args.work = args.work.resolve()
    prepare(args)
    make_inputs(args)
    print("%s, processor %d of %d; Python %s" % (next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine()),
                                                 args.cpu, os.cpu_count(), platform.python_version()))
    subprocess.run([str(args.work / "weir"), "version"])
    if not args.no_inference:
        inference(args)
    if not args.no_training:
        training(args)
    if not args.no_scaling:
        scaling(args)


if __name__ == "__main__":
    main()
