import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { csv, plain, save, saveText, short, time } from "./format";
import { color, useTheme } from "./use";

export interface Series {
  label: string;
  values: (number | null)[];
  color: string; // name in the style sheet
  kind?: "line" | "dots" | "dash";
}

export interface ChartProps {
  name: string; // of exported files
  title: string;
  note?: string;
  x: number[]; // Unix seconds, rising
  series: Series[];
  range?: [number, number] | undefined; // shown; all when there is none
  log?: boolean;
  unit?: string;
  zoom: (range: [number, number] | null) => void; // the user has marked a range, or wants all of it
  point?: (index: number) => void; // the user has clicked on a point
}

const height = 190;

// Chart draws series over time. Dragging marks a range; with the keyboard, arrows move, + and - zoom, 0 shows all.
export function Chart(p: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const props = useRef(p);
  props.current = p;
  const dark = useTheme();
  const [table, setTable] = useState(false);
  const shape = p.series.map((s) => s.label + s.kind).join() + p.log;

  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const axis = { stroke: color("dim"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const options: uPlot.Options = {
      width: Math.max(el.clientWidth, 200),
      height,
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
      legend: { live: true },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      scales: {
        x: { time: true, range: (_u, min, max) => props.current.range ?? (min === max ? [min - 1, max + 1] : [min, max]) },
        y: p.log ? { distr: 3, log: 10 } : { range: (_u, _min, max) => [0, max > 0 ? max * 1.05 : 1] },
      },
      axes: [{ ...axis, space: 90, values: times }, { ...axis, size: 56, values: (_u, ticks) => ticks.map((v) => (v === null || v === undefined ? "" : short(v))) }],
      series: [
        { label: "time", value: (_u, v) => (v === null || v === undefined ? "" : time(v)) },
        ...p.series.map((s): uPlot.Series => {
          const one: uPlot.Series = {
            label: s.label,
            stroke: color(s.color),
            width: 1.5,
            points: { show: false },
            value: (_u, v) => (v === null || v === undefined ? "" : plain(v)),
          };
          if (s.kind === "dash") one.dash = [6, 4];
          if (s.kind === "dots") {
            one.paths = () => null;
            one.points = { show: true, size: 6, fill: color(s.color), stroke: color(s.color) };
          }
          return one;
        }),
      ],
      hooks: {
        setSelect: [
          (u) => {
            if (u.select.width < 4) return;
            const from = u.posToVal(u.select.left, "x");
            const to = u.posToVal(u.select.left + u.select.width, "x");
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            props.current.zoom([from, to]);
          },
        ],
      },
    };
    const u = new uPlot(options, data(props.current), el);
    plot.current = u;
    let down = 0;
    u.over.addEventListener("mousedown", (e) => (down = e.clientX));
    u.over.addEventListener("click", (e) => {
      if (Math.abs(e.clientX - down) < 3 && u.cursor.idx !== null && u.cursor.idx !== undefined) props.current.point?.(u.cursor.idx);
    });
    u.over.addEventListener("dblclick", () => props.current.zoom(null));
    const resize = new ResizeObserver(() => u.setSize({ width: Math.max(el.clientWidth, 200), height }));
    resize.observe(el);
    return () => {
      resize.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [shape, dark]);

  const last = p.x.length ? `${p.x[0]}-${p.x[p.x.length - 1]}-${p.x.length}` : "";
  useEffect(() => plot.current?.setData(data(p)), [last, p.range?.[0], p.range?.[1], p.x, shape, dark]);

  const keys = (e: KeyboardEvent) => {
    const [from, to] = p.range ?? [p.x[0] ?? 0, p.x[p.x.length - 1] ?? 1];
    const span = to - from;
    const move: Record<string, [number, number] | null> = {
      ArrowLeft: [from - span / 4, to - span / 4],
      ArrowRight: [from + span / 4, to + span / 4],
      "+": [from + span / 4, to - span / 4],
      "=": [from + span / 4, to - span / 4],
      "-": [from - span / 2, to + span / 2],
      "0": null,
    };
    const next = move[e.key];
    if (next !== undefined && e.target === box.current) {
      e.preventDefault();
      p.zoom(next);
    }
  };
  const head = ["time", ...p.series.map((s) => s.label)];
  const rows = (): (string | number | null)[][] => p.x.map((t, i) => [time(t, true), ...p.series.map((s) => s.values[i] ?? null)]);
  return (
    <figure class="chart" data-points={p.x.length} data-name={p.name}>
      <figcaption>
        <b>{p.title}</b>
        {p.note && <span class="dim"> {p.note}</span>}
        <Tools
          table={table}
          setTable={setTable}
          saveCSV={() => saveText(`${p.name}.csv`, csv(head, rows()))}
          savePNG={() => plot.current && savePNG(p.name, p.title, plot.current.ctx.canvas)}
        />
      </figcaption>
      <div ref={box} tabIndex={0} role="img" aria-label={summary(p)} onKeyDown={keys} class="plot" hidden={p.x.length === 0} />
      {p.x.length === 0 && <p class="empty">There is nothing in this time.</p>}
      {table && <Rows head={head} rows={rows()} />}
    </figure>
  );
}

// Tools are what every figure has: its table and its export.
export function Tools(p: { table: boolean; setTable: (on: boolean) => void; saveCSV: () => void; savePNG: () => void }) {
  return (
    <span class="tools">
      <button type="button" class="quiet" aria-pressed={p.table} onClick={() => p.setTable(!p.table)}>
        Table
      </button>
      <button type="button" class="quiet" onClick={p.saveCSV}>
        CSV
      </button>
      <button type="button" class="quiet" onClick={p.savePNG}>
        PNG
      </button>
    </span>
  );
}

// Rows is the table of a figure: the newest rows, which come last.
export function Rows(p: { head: string[]; rows: (string | number | null)[][] }) {
  const most = 500;
  return (
    <div class="scroll low">
      <table>
        {p.rows.length > most && <caption>{`The last ${most} of ${p.rows.length}; the CSV has all`}</caption>}
        <thead>
          <tr>
            {p.head.map((h) => (
              <th scope="col">{h}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {p.rows.slice(-most).map((row) => (
            <tr>
              {row.map((v) => (
                <td>{typeof v === "number" ? plain(v) : (v ?? "–")}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const data = (p: ChartProps): uPlot.AlignedData => [p.x, ...p.series.map((s) => s.values)];

// times labels the ticks of an axis of time, in UTC and with 24 hours.
function times(_u: uPlot, ticks: number[], _axis: number, _space: number, step: number): string[] {
  let day = "";
  return ticks.map((t) => {
    const text = time(t);
    const date = text.slice(5, 10);
    const clock = step >= 86400 ? "" : text.slice(11, step < 60 ? 19 : 16);
    const first = date !== day;
    day = date;
    return first ? `${clock}\n${date}` : clock;
  });
}

function summary(p: ChartProps): string {
  const parts = p.series.map((s) => {
    const known = s.values.filter((v): v is number => v !== null);
    if (known.length === 0) return `${s.label}: nothing`;
    return `${s.label}: ${plain(known.reduce((a, b) => Math.min(a, b)))} to ${plain(known.reduce((a, b) => Math.max(a, b)))}`;
  });
  return `${p.title}. ${parts.join("; ")}. Arrows move, plus and minus zoom, 0 shows all.`;
}

// savePNG gives the user what a canvas shows, with its title, on the page's background.
export function savePNG(name: string, title: string, from: CanvasImageSource & { width: number; height: number }): void {
  const scale = devicePixelRatio || 1;
  const room = 28 * scale;
  const out = document.createElement("canvas");
  out.width = from.width;
  out.height = from.height + room;
  const c = out.getContext("2d");
  if (!c) return;
  c.fillStyle = color("back");
  c.fillRect(0, 0, out.width, out.height);
  c.fillStyle = color("text");
  c.font = `${14 * scale}px system-ui, sans-serif`;
  c.fillText(title, 8 * scale, 19 * scale);
  c.drawImage(from, 0, room);
  out.toBlob((b) => b && save(`${name}.png`, b));
}

// saveSVG is savePNG for a drawing, whose colours must be its own.
export function saveSVG(name: string, title: string, svg: SVGSVGElement): void {
  const scale = devicePixelRatio || 1;
  const image = new Image(svg.clientWidth * scale, svg.clientHeight * scale);
  const source = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }));
  image.onload = () => {
    savePNG(name, title, image);
    URL.revokeObjectURL(source);
  };
  image.src = source;
}
