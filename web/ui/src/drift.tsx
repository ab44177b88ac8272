import { useRef, useState } from "preact/hooks";
import type { Shift } from "./api";
import { Rows, saveSVG, Tools } from "./chart";
import { count, csv, percent, plain, saveText } from "./format";
import { useLive } from "./live";
import { color, useGet, useTheme } from "./use";

// By custom the index tells little below the first and much from the second on.
const little = 0.1;
const much = 0.25;

// Values of now and of training must be apart by so much for a direction (Cliff's delta, of which less is negligible by custom).
const apart = 0.147;

const quantities = [
  { name: "scores", key: "validation_scores", of: "windows", model: "anomaly" },
  { name: "confidences", key: "validation_confidences", of: "flows", model: "apps" },
  { name: "novelty", key: "validation_novelty", of: "flows", model: "apps" },
] as const;

type Quantity = (typeof quantities)[number];

interface Reference {
  edges: number[];
  count: number;
}

// Chance may give no more than this, or nothing is told: (bins − 1)(1/n + 1/m) for n values now and m in training.
const mostChance = 0.1;

// Drift shows what the models in use give now against what they gave for validation data when they were trained. Where no model is
// in use it is not there.
export function Drift() {
  const { stats } = useLive();
  const shown = quantities.filter((q) => stats?.models?.[q.model]);
  const unknown = (model: Quantity["model"]) => shown.some((q) => q.model === model && !stats?.drift?.[q.name]);
  const apps = useSettings(unknown("apps") ? stats?.models?.apps : undefined);
  const anomaly = useSettings(unknown("anomaly") ? stats?.models?.anomaly : undefined);
  if (shown.length === 0) return null;
  const settings = { apps, anomaly };
  return (
    <section class="panel" aria-label="Drift">
      <h2>Now against training</h2>
      <div class="drift">
        {shown.map((q) => {
          const shift = stats?.drift?.[q.name];
          return shift ? <Distribution key={q.name} of={q} shift={shift} /> : <p class="dim">{why(q, settings[q.model])}</p>;
        })}
      </div>
      <p class="dim">
        The index is the population stability index, less what chance gives on average. That little has changed below {little} and much from {much} on is custom, not a test: values that come in bursts move
        more by chance.
      </p>
    </section>
  );
}

// useSettings returns the settings of a model, NAME@VERSION; undefined while they are not known.
function useSettings(ref: string | undefined): Record<string, Reference | undefined> | undefined {
  const [name = "", version = ""] = ref?.split("@") ?? [];
  return useGet<{ settings: Record<string, Reference | undefined> }>(name && version ? `/models/${encodeURIComponent(name)}/${encodeURIComponent(version)}` : "").data?.settings;
}

const capital = (text: string): string => (text[0] ?? "").toUpperCase() + text.slice(1);

// be is the verb of a quantity.
const be = (q: Quantity): string => (q.name === "novelty" ? "is" : "are");

// why says why nothing can be said of a quantity.
function why(q: Quantity, settings: Record<string, Reference | undefined> | undefined): string {
  if (!settings) return `${capital(q.name)}: not known yet.`;
  const reference = settings[q.key];
  if (!reference) return `${capital(q.name)}: the model does not know what ${q.name === "novelty" ? "it was" : "they were"} in training. It is of an earlier version of weir, or imported; a newly trained one does.`;
  if (reference.edges.length === 0) return `${capital(q.name)}: all were the same in training, with which nothing can be compared.`;
  if (reference.edges.length / reference.count >= mostChance) return `${capital(q.name)}: training had too few validation ${q.of} (${count(reference.count)}) to compare with: chance alone would tell of a change. Train with more.`;
  return `${capital(q.name)}: too few ${q.of} yet. It takes 200, and more where training had few validation ${q.of} (there were ${count(reference.count)}).`;
}

// toward returns whether values of now are more often above those of training than below: 1, -1, or 0 for neither.
function toward(s: Shift): number {
  let balance = 0;
  s.now.forEach((p, i) => {
    s.training.forEach((q, j) => {
      balance += Math.sign(i - j) * p * q;
    });
  });
  return Math.abs(balance) < apart ? 0 : Math.sign(balance);
}

// sentence says in words what has changed.
function sentence(q: Quantity, s: Shift): string {
  if (s.index < little) return `${capital(q.name)} ${be(q)} as in training.`;
  const far = s.index < much ? "somewhat " : "";
  const way = toward(s);
  if (way === 0) return `${capital(q.name)} ${be(q)} ${far}differently spread than in training, neither higher nor lower.`;
  return `${capital(q.name)} ${be(q)} ${far}${way > 0 ? "higher" : "lower"} than in training.`;
}

const width = 360;
const height = 150;
const at = { left: 48, right: 8, top: 8, bottom: 34 };

// range is the values of a bin in words.
function range(s: Shift, i: number): string {
  const [from, to] = [s.edges[i - 1], s.edges[i]];
  if (from === undefined) return to === undefined ? "all" : `below ${plain(to)}`;
  return to === undefined ? `from ${plain(from)} on` : `${plain(from)} to ${plain(to)}`;
}

// Distribution draws the shares of the bins now as bars, and those of training as lines across them.
function Distribution(p: { of: Quantity; shift: Shift }) {
  useTheme();
  const svg = useRef<SVGSVGElement>(null);
  const [table, setTable] = useState(false);
  const s = p.shift;
  const title = capital(p.of.name);
  const name = `drift-${p.of.name}`;
  const head = ["from", "below", "training", "now"];
  const rows = (): (number | null)[][] => s.now.map((now, i) => [s.edges[i - 1] ?? null, s.edges[i] ?? null, s.training[i] ?? 0, now]);
  const top = Math.max(...s.now, ...s.training);
  const step = (width - at.left - at.right) / s.now.length;
  const low = height - at.bottom;
  const y = (share: number) => low - (low - at.top) * (share / top);
  return (
    <figure>
      <figcaption>
        <b>{title}</b>{" "}
        <span class="dim">
          of the last {count(s.count)} {p.of.of}; index {plain(s.index)}
        </span>
        <Tools table={table} setTable={setTable} saveCSV={() => saveText(`${name}.csv`, csv(head, rows()))} savePNG={() => svg.current && saveSVG(name, `${title} now against training`, svg.current)} />
      </figcaption>
      <p class="sentence">{sentence(p.of, s)}</p>
      <svg ref={svg} xmlns="http://www.w3.org/2000/svg" width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={`${sentence(p.of, s)} ${s.now.map((now, i) => `${range(s, i)}: ${percent(now)}, in training ${percent(s.training[i] ?? 0)}`).join("; ")}.`} font-family="system-ui, sans-serif" font-size="11">
        {[0, top / 2, top].map((share) => (
          <g>
            <line x1={at.left} x2={width - at.right} y1={y(share)} y2={y(share)} stroke={color("line")} />
            <text x={at.left - 4} y={y(share) + 4} text-anchor="end" fill={color("dim")}>
              {percent(share)}
            </text>
          </g>
        ))}
        {s.now.map((now, i) => {
          const x = at.left + step * i;
          const training = y(s.training[i] ?? 0);
          return (
            <g>
              <title>{`${range(s, i)}: ${percent(now)}, in training ${percent(s.training[i] ?? 0)}`}</title>
              <rect x={x} y={at.top} width={step} height={low - at.top} fill="transparent" />
              <rect x={x + step * 0.15} y={y(now)} width={step * 0.7} height={low - y(now)} fill={color("bar")} />
              <line x1={x + step * 0.05} x2={x + step * 0.95} y1={training} y2={training} stroke={color("mark")} stroke-width="3" />
            </g>
          );
        })}
        {s.edges.map((edge, i) => (
          <text x={at.left + step * (i + 1)} y={low + (i % 2 === 0 ? 13 : 26)} text-anchor="middle" fill={color("dim")}>
            {plain(edge)}
          </text>
        ))}
      </svg>
      <p class="key">
        <i style={{ background: "var(--bar)" }} /> now <i class="round" style={{ background: "var(--mark)" }} /> validation data of training
      </p>
      {table && <Rows head={head} rows={rows()} />}
    </figure>
  );
}
