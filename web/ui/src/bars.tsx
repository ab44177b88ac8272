import { useEffect, useRef, useState } from "preact/hooks";
import type { Total } from "./api";
import { Rows, saveSVG, Tools } from "./chart";
import { appName, bytes, count, csv, saveText, short } from "./format";
import { color, useTheme } from "./use";

const most = 20;
const height = 260;
const at = { left: 56, right: 60, top: 12, bottom: 84 };

// Mix draws packets per application as bars and payload bytes as a line, after figure 5 of Lim, Kim, Han.
export function Mix(p: { totals: Total[]; note: string; open: (t: Total) => void }) {
  useTheme();
  const box = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(800);
  const [table, setTable] = useState(false);
  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const resize = new ResizeObserver(() => setWidth(Math.max(el.clientWidth, 240)));
    resize.observe(el);
    return () => resize.disconnect();
  }, []);
  const all = [...p.totals].sort((a, b) => b.packets - a.packets);
  const rows = all.slice(0, most);
  const packets = Math.max(1, ...rows.map((t) => t.packets));
  const payload = Math.max(1, ...rows.map((t) => t.payload_bytes));
  const w = width - at.left - at.right;
  const h = height - at.top - at.bottom;
  const step = w / Math.max(rows.length, 1);
  const bar = Math.min(step * 0.7, 48);
  const x = (i: number) => at.left + step * (i + 0.5);
  const yPackets = (n: number) => at.top + h * (1 - n / packets);
  const yPayload = (n: number) => at.top + h * (1 - n / payload);
  const head = ["application", "novel", "flows", "packets", "bytes", "payload_bytes"];
  const values = (): (string | number)[][] => all.map((t) => [t.name, t.novel ? "yes" : "no", t.flows, t.packets, t.bytes, t.payload_bytes]);
  const title = "Applications";
  const png = () => svg.current && saveSVG("applications", title, svg.current);
  return (
    <figure class="mix">
      <figcaption>
        <b>{title}</b> <span class="dim">{p.note}</span>
        <Tools table={table} setTable={setTable} saveCSV={() => saveText("applications.csv", csv(head, values()))} savePNG={png} />
      </figcaption>
      <div ref={box}>
        {rows.length === 0 && <p class="empty">There is nothing in this time.</p>}
        {rows.length > 0 && (
          <svg ref={svg} xmlns="http://www.w3.org/2000/svg" width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={spoken(rows)} font-family="system-ui, sans-serif" font-size="12">
            {[0, 0.5, 1].map((part) => (
              <g>
                <line x1={at.left} x2={width - at.right} y1={yPackets(part * packets)} y2={yPackets(part * packets)} stroke={color("line")} />
                <text x={at.left - 6} y={yPackets(part * packets) + 4} text-anchor="end" fill={color("bar")}>
                  {short(part * packets)}
                </text>
                <text x={width - at.right + 6} y={yPackets(part * packets) + 4} fill={color("mark")}>
                  {bytes(part * payload)}
                </text>
              </g>
            ))}
            {rows.map((t, i) => (
              <g class="opens" tabindex={0} role="link" aria-label={appName(t.name, t.novel)} onClick={() => p.open(t)} onKeyDown={(e) => e.key === "Enter" && p.open(t)}>
                <title>{`${appName(t.name, t.novel)}: ${count(t.packets)} packets, ${bytes(t.payload_bytes)} of payload, ${count(t.flows)} flows`}</title>
                <rect x={x(i) - step / 2} y={at.top} width={step} height={h} fill="transparent" />
                <rect x={x(i) - bar / 2} y={yPackets(t.packets)} width={bar} height={at.top + h - yPackets(t.packets)} fill={color(t.novel ? "novel" : t.name === "" ? "dim" : "bar")} />
                <text transform={`translate(${x(i) + 4} ${at.top + h + 10}) rotate(-38)`} text-anchor="end" fill={color("text")}>
                  {clip(appName(t.name, t.novel))}
                </text>
              </g>
            ))}
            <polyline points={rows.map((t, i) => `${x(i)},${yPayload(t.payload_bytes)}`).join(" ")} fill="none" stroke={color("mark")} stroke-width="2" pointer-events="none" />
            {rows.map((t, i) => (
              <circle cx={x(i)} cy={yPayload(t.payload_bytes)} r="3" fill={color("mark")} pointer-events="none" />
            ))}
          </svg>
        )}
      </div>
      <p class="key">
        <i style={{ background: "var(--bar)" }} /> packets <i style={{ background: "var(--novel)" }} /> packets unlike training <i class="round" style={{ background: "var(--mark)" }} /> payload bytes
      </p>
      {table && <Rows head={head} rows={values()} />}
    </figure>
  );
}

const clip = (text: string): string => (text.length > 22 ? text.slice(0, 21) + "…" : text);

const spoken = (rows: Total[]): string =>
  `Packets per application, payload bytes as a line. ${rows.map((t) => `${appName(t.name, t.novel)}: ${count(t.packets)} packets, ${bytes(t.payload_bytes)}`).join("; ")}.`;

// Part is a bar within a table.
export const Part = (p: { of: number }) => (
  <span class="part">
    <i style={{ width: `${Math.max(0, Math.min(1, p.of)) * 100}%` }} />
  </span>
);
