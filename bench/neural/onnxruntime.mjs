// ONNX Runtime's side of bench/neural.py, one thread: node onnxruntime.mjs MODEL.onnx INPUTS.json DIR BATCH
// It speaks as bench/neural/main.go does. The package is that of nn/onnx/testdata/onnxruntime.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const ort = createRequire(new URL('../../nn/onnx/testdata/onnxruntime/', import.meta.url))('onnxruntime-node');
const [file, inputs, dir, batchText] = process.argv.slice(2);
const batch = Number(batchText);
const arrays = { float32: Float32Array, uint8: Uint8Array, int64: BigInt64Array };

const session = await ort.InferenceSession.create(file, {
  intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all', logSeverityLevel: 3,
});

// The batches, made beforehand: what is measured is the run.
const batches = [];
for (const { name, type, dims } of JSON.parse(readFileSync(inputs, 'utf8'))) {
  const bytes = readFileSync(`${dir}/${name}`);
  const all = new arrays[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const size = dims.reduce((a, b) => a * b, 1);
  const n = all.length / size;
  for (let i = 0; i < Math.max(1, Math.floor(n / batch)); i++) {
    const data = new arrays[type](batch * size);
    for (let s = 0; s < batch; s++) {
      const at = ((i * batch + s) % n) * size;
      data.set(all.subarray(at, at + size), s * size);
    }
    (batches[i] ??= {})[name] = new ort.Tensor(type, data, [batch, ...dims]);
  }
}

let at = 0;
async function next() {
  const out = await session.run(batches[at]);
  at = (at + 1) % batches.length;
  return out;
}

const first = await next();
console.log(JSON.stringify(Object.fromEntries(Object.entries(first).map(([k, v]) => [k, Array.from(v.data)]))));
for await (const line of createInterface({ input: process.stdin })) {
  const before = process.cpuUsage();
  for (let i = Number(line); i > 0; i--) await next();
  const { user, system } = process.cpuUsage(before);
  console.log((user + system) / 1e6);
}
