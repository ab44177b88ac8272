// Runs a model in ONNX Runtime: node run.mjs MODEL.onnx <inputs.json >outputs.json
// Inputs and outputs are lists of {name, type, dims, data}.
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';

const ort = createRequire(import.meta.url)('onnxruntime-node');
const arrays = { float32: Float32Array, uint8: Uint8Array, int64: BigInt64Array };

const session = await ort.InferenceSession.create(process.argv[2], { intraOpNumThreads: 1, interOpNumThreads: 1 });
const feeds = {};
for (const { name, type, dims, data } of JSON.parse(readFileSync(0, 'utf8'))) {
  feeds[name] = new ort.Tensor(type, arrays[type].from(type === 'int64' ? data.map(BigInt) : data), dims);
}
const results = await session.run(feeds);
const outputs = session.outputNames.map((name) => {
  const { type, dims, data } = results[name];
  return { name, type, dims, data: Array.from(data) };
});
writeFileSync(1, JSON.stringify(outputs));
