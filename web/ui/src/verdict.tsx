import type { Verdict as V } from "./api";

export const Verdict = (p: { of: V }) => (
  <span class={`verdict ${p.of.verdict}`} title={p.of.note}>
    {p.of.verdict}
    {p.of.verdict !== "open" && p.of.who && ` by ${p.of.who}`}
  </span>
);
