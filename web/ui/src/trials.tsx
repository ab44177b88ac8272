import { count, percent, plain, time } from "./format";
import { Table } from "./table";
import { useGet } from "./use";

interface Trials {
  apps: {
    live: string;
    model: string;
    since: string;
    until: string;
    flows: number;
    agree: number;
    agree_low: number;
    agree_high: number;
    novel_live: number;
    novel: number;
    novel_both: number;
    labels: { app: string; live: number; model: number }[];
    pairs: { live: string; model: string; flows: number }[];
  }[];
  anomaly: {
    live: string;
    model: string;
    since: string;
    until: string;
    windows: number;
    above_live: number;
    above: number;
    above_both: number;
    correlation: number;
    differ: { start: string; score: number; threshold: number; shadow: { score: number; threshold: number } }[];
    confirmed: number;
    confirmed_above: number;
    dismissed: number;
    dismissed_above: number;
  }[];
}

const label = (app: string): string => app || "no label";

// Trials compares models on trial with those in use, by what is stored. Where nothing was on trial it is not there.
export function Trials() {
  const found = useGet<Trials>("/trials");
  const all = found.data;
  if (found.error) return <p class="error">{found.error}</p>;
  if (!all || all.apps.length + all.anomaly.length === 0) return null;
  return (
    <section class="panel" aria-label="Models on trial">
      <h2>On trial</h2>
      {all.apps.map((a) => (
        <article class="trial">
          <h3>
            {a.model} beside {a.live}
          </h3>
          <p class="sentence">
            {time(a.since)} to {time(a.until)} UTC: of {count(a.flows)} flows that both labelled, {count(a.agree)} have the same application ({percent(a.agree / a.flows)}, with 95 % confidence{" "}
            {percent(a.agree_low)} to {percent(a.agree_high)}). Unlike everything in training to {a.live}: {count(a.novel_live)}, to {a.model}: {count(a.novel)}, to both: {count(a.novel_both)}.
          </p>
          <Table
            name={`${a.model}-labels`}
            caption="Flows by application"
            rows={a.labels}
            shown={12}
            columns={[
              { head: "application", cell: (l) => label(l.app) },
              { head: "in use", cell: (l) => count(l.live), value: (l) => l.live, right: true },
              { head: "on trial", cell: (l) => count(l.model), value: (l) => l.model, right: true },
            ]}
          />
          <Table
            name={`${a.model}-pairs`}
            caption="Flows that they disagree about"
            rows={a.pairs}
            shown={12}
            empty="They agree about every flow."
            columns={[
              { head: "in use", cell: (p) => label(p.live) },
              { head: "on trial", cell: (p) => label(p.model) },
              { head: "flows", cell: (p) => count(p.flows), value: (p) => p.flows, right: true },
            ]}
          />
        </article>
      ))}
      {all.anomaly.map((a) => (
        <article class="trial">
          <h3>
            {a.model} beside {a.live}
          </h3>
          <p class="sentence">
            {time(a.since)} to {time(a.until)} UTC: of {count(a.windows)} windows that both scored, {count(a.above_live)} are anomalous to {a.live}, {count(a.above)} to {a.model}, {count(a.above_both)} to
            both. Of {count(a.confirmed)} confirmed alerts {count(a.confirmed_above)} would be raised, of {count(a.dismissed)} dismissed ones {count(a.dismissed_above)}. Scores correlate with{" "}
            {plain(a.correlation)} (their logarithms, Pearson).
          </p>
          <Table
            name={`${a.model}-windows`}
            caption="Windows that are anomalous to one alone; scores as multiples of the threshold"
            rows={a.differ}
            empty="There is no window that is anomalous to one alone."
            columns={[
              { head: "start, UTC", cell: (w) => time(w.start), value: (w) => w.start },
              { head: "in use", cell: (w) => plain(w.score / w.threshold), value: (w) => w.score / w.threshold, right: true },
              { head: "on trial", cell: (w) => plain(w.shadow.score / w.shadow.threshold), value: (w) => w.shadow.score / w.shadow.threshold, right: true },
            ]}
          />
        </article>
      ))}
    </section>
  );
}
