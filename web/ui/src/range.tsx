// The time that a page is about: what is watched now, a span back from the newest, or a range that was marked.
import { type Change, change } from "./route";
import { time } from "./format";
import type { Live } from "./live";

export interface Range {
  since: number | undefined;
  until: number | undefined;
  span: string; // "": what is watched now
}

const spans: [string, string, number][] = [
  ["1h", "1 h", 3600],
  ["6h", "6 h", 6 * 3600],
  ["24h", "24 h", 86400],
  ["7d", "7 d", 7 * 86400],
  ["all", "All", 0],
];

// rangeOf reads the time from the URL; newest is the newest time there is.
export function rangeOf(q: URLSearchParams, newest: number | null): Range {
  const number = (name: string) => {
    const v = Number.parseFloat(q.get(name) ?? "");
    return Number.isFinite(v) ? v : undefined;
  };
  const since = number("since");
  const until = number("until");
  if (since !== undefined || until !== undefined) return { since, until, span: "range" };
  const span = spans.find(([name]) => name === q.get("span"));
  if (!span) return { since: undefined, until: undefined, span: "" };
  return { since: span[2] && newest !== null ? Math.floor(newest - span[2]) : undefined, until: undefined, span: span[0] };
}

// zoomTo has the URL hold a range that was marked; null: everything again.
export function zoomTo(range: [number, number] | null): void {
  const round = (v: number) => Math.round(v * 1000) / 1000;
  change(range && range[1] > range[0] ? { since: round(range[0]), until: round(range[1]), span: null } : { since: null, until: null });
}

export function Spans(p: { range: Range; live: Live; first: string }) {
  const choose = (params: Change) => change({ since: null, until: null, span: null, ...params });
  const button = (name: string, label: string) => (
    <button type="button" aria-pressed={p.range.span === name} onClick={() => choose({ span: name })}>
      {label}
    </button>
  );
  return (
    <div class="spans" role="group" aria-label="Time">
      {button("", p.first)}
      {spans.filter(([, label]) => label !== p.first).map(([name, label]) => button(name, label))}
      {p.range.span === "range" && (
        <span class="range">
          {p.range.since === undefined ? "the oldest" : time(p.range.since)} – {p.range.until === undefined ? "the newest" : time(p.range.until)} UTC{" "}
          <button type="button" class="quiet" onClick={() => choose({})}>
            Show all <kbd>0</kbd>
          </button>
        </span>
      )}
    </div>
  );
}
