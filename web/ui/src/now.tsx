import { useEffect, useState } from "preact/hooks";
import { get, type Incident, type Status, type Total, type Windows } from "./api";
import { Mix } from "./bars";
import { Chart } from "./chart";
import { bytes, count, duration, plain, short, time, unix } from "./format";
import { type Live, quiet, useLive } from "./live";
import { rangeOf, Spans, zoomTo } from "./range";
import { follow, go, href, useView } from "./route";
import { useGet, useKey } from "./use";
import { Verdict } from "./verdict";

export function Now(p: { status: Status | undefined }) {
  const live = useLive();
  const { query } = useView();
  const newest = live.now ?? p.status?.history.newest ?? null;
  const range = rangeOf(query, newest);
  const following = range.span === "" && p.status?.watching !== false;
  const tick = useSlow(live, 3000);
  const asked = { since: range.since, until: range.until };
  // What is marked within what is kept here needs no question for its scores.
  const inside = range.span === "range" && range.since !== undefined && range.since >= (live.windows.start[0] ?? Infinity);
  const scores = useGet<{ windows: Windows; step: number }>(following || inside ? "" : "/scores", asked, range.until === undefined ? tick : 0);
  const apps = useGet<{ totals: Total[]; rest: Total }>(following ? "" : "/top/apps", { ...asked, limit: 100 }, range.until === undefined ? tick : 0);
  const hosts = useGet<{ totals: Total[] }>("/top/hosts", { ...asked, limit: 8 }, tick);
  const incidents = useGet<{ incidents: Incident[] }>("/incidents", { ...asked, limit: 6 }, `${tick} ${live.alerts.length}`);
  const w = following || inside ? live.windows : scores.data?.windows;
  const shown = range.span === "range" ? ([range.since ?? w?.start[0] ?? 0, range.until ?? newest ?? 1] as [number, number]) : undefined;
  useKey({ "0": () => zoomTo(null), Escape: () => zoomTo(null) });

  const open = async (i: number) => {
    const at = w?.start[i];
    if (at === undefined) return;
    const found = await get<{ incidents: Incident[] }>("/incidents", { since: at, until: at + (w?.length[i] ?? 1) });
    const one = found.incidents[0];
    go(one ? href("/alerts", { incident: one.id, at }) : href("/flows", { since: at, until: at + (w?.length[i] ?? 1) }));
  };
  const bySecond = w && w.start.length > 0;
  return (
    <>
      <Health live={live} status={p.status} />
      <Spans range={range} live={live} first="Live" />
      {live.learn?.possible && !live.learn.in_use && live.learn.phase === "idle" && (
        <p class="panel">
          No detector judges this traffic yet.{" "}
          <a href="/learn" onClick={follow}>
            Learn what is normal here
          </a>
        </p>
      )}
      {(scores.error || apps.error) && <p class="error">{scores.error || apps.error}</p>}
      <section class="panel">
        {bySecond ? (
          <Chart name="packet-rate" title="IP packets per second" x={w.start} range={shown} zoom={zoomTo} point={open} series={[{ label: "packets/s", values: w.packets.map((n, i) => n / (w.length[i] || 1)), color: "bar" }]} />
        ) : (
          <Chart name="packet-rate" title="Packets per second" x={live.rates.at} range={shown} zoom={zoomTo} series={[{ label: "packets/s", values: live.rates.packets_per_second, color: "bar" }]} />
        )}
      </section>
      {bySecond && (
        <section class="panel">
          <Chart
            name="scores"
            title="Anomaly score of every window"
            note={(scores.data?.step && !following && !inside ? `highest of every ${duration(scores.data.step)}; ` : "") + "click a peak for its explanation, drag to zoom"}
            x={w.start}
            range={shown}
            log
            zoom={zoomTo}
            point={open}
            series={[
              { label: "score", values: w.score.map((s) => (s === null ? null : Math.max(s, 1e-3))), color: "bar" },
              { label: "threshold", values: w.threshold.map((t) => (t > 0 ? t : null)), color: "alarm", kind: "dash" },
              { label: "alarm", values: w.score.map((s, i) => (w.anomalous[i] && s !== null ? Math.max(s, 1e-3) : null)), color: "alarm", kind: "dots" },
            ]}
          />
        </section>
      )}
      <section class="panel">
        <Mix
          totals={following ? live.apps : (apps.data?.totals ?? [])}
          note={following ? "of the last hour of traffic: packets as bars, payload bytes as a line" : "of flows that ended: packets as bars, payload bytes as a line"}
          open={(t) => go(href("/flows", { app: t.name, novel: t.novel ? "true" : null, since: range.since, until: range.until }))}
        />
      </section>
      <div class="columns">
        <section class="panel">
          <h2>Newest incidents</h2>
          {incidents.data?.incidents.length === 0 && <p class="empty">{quiet(live)}</p>}
          <ol class="incidents">
            {incidents.data?.incidents.map((in_) => (
              <li>
                <a href={href("/alerts", { incident: in_.id })} onClick={follow}>
                  <b>{time(in_.start)}</b> peak {plain(in_.peak)}, {count(in_.alerts)} {in_.alerts === 1 ? "alert" : "alerts"} <Verdict of={in_.verdict} />
                  <span class="what">{in_.what}</span>
                </a>
              </li>
            ))}
          </ol>
        </section>
        <section class="panel">
          <h2>Most bytes</h2>
          {hosts.data?.totals.length === 0 && <p class="empty">No flow has ended.</p>}
          <ol class="hosts">
            {hosts.data?.totals.map((t) => (
              <li>
                <a href={href("/flows", { host: t.name, since: range.since, until: range.until })} onClick={follow}>
                  {t.name}
                </a>
                <span>
                  {bytes(t.bytes)} in {count(t.flows)} flows
                </span>
              </li>
            ))}
          </ol>
        </section>
      </div>
    </>
  );
}

// useSlow counts up when there are news, at most once in so many milliseconds.
function useSlow(live: Live, every: number): number {
  const [tick, set] = useState(0);
  useEffect(() => {
    let waiting = 0;
    const stop = live.listen(() => {
      if (!waiting) {
        waiting = window.setTimeout(() => {
          waiting = 0;
          set((n) => n + 1);
        }, every);
      }
    });
    return () => {
      stop();
      clearTimeout(waiting);
    };
  }, [every]);
  return tick;
}

const sum = (of: Record<string, number> | undefined): number => Object.values(of ?? {}).reduce((a, b) => a + b, 0);

// Health says whether to trust what is seen: what is watched, what was lost, what could not be read.
function Health(p: { live: Live; status: Status | undefined }) {
  const { live, status } = p;
  const s = live.stats;
  const drops = sum(s?.drops);
  const captured = (s?.capture ?? []).reduce((n, c) => n + c.dropped + (c.missed ?? 0), 0);
  const lost = live.windows.lost.reduce((a, b) => a + b, 0);
  const errors = sum(s?.decode_errors);
  let state: [string, string] = ["good", "Watching"];
  if (status && !status.watching) state = ["still", "History alone"];
  else if (!live.connected) state = ["bad", live.known ? "Connection lost" : "Connecting"];
  else if (live.ended) state = ["still", "All is read"];
  const w = live.windows;
  const i = w.packets.length - 1;
  const rate = i >= 0 ? (w.packets[i] ?? 0) / (w.length[i] || 1) : s?.packets_per_second;
  return (
    <dl class="health" aria-label="Health">
      <div class={state[0]}>
        <dt>{state[1]}</dt>
        <dd>{status?.source || (status?.watching === false ? "nothing is watched" : "…")}</dd>
      </div>
      <div>
        <dt>Traffic time, UTC</dt>
        <dd>{live.now === null ? "–" : time(live.now)}</dd>
      </div>
      <div>
        <dt>Packets</dt>
        <dd>
          {s ? count(s.packets) : "–"} <small>{rate !== undefined && !live.ended && `${short(rate)}/s`}</small>
        </dd>
      </div>
      <div>
        <dt>Flows</dt>
        <dd>
          {s ? count(s.flows) : "–"} <small>{s && `${count(s.novel_flows)} unlike training`}</small>
        </dd>
      </div>
      <div class={drops + captured + lost > 0 ? "bad" : "good"}>
        <dt>Lost</dt>
        <dd title={reasons(s?.drops)}>{s ? count(drops + captured) : "–"} <small>{reasons(s?.drops) || "nothing dropped"}</small></dd>
      </div>
      <div>
        <dt>Not decoded</dt>
        <dd title={reasons(s?.decode_errors)}>
          {s ? count(errors) : "–"} <small>{reasons(s?.decode_errors)}</small>
        </dd>
      </div>
      <div>
        <dt>History</dt>
        <dd>
          {status ? bytes(status.history.bytes) : "–"}{" "}
          <small>{status?.history.oldest != null && status.history.newest != null && duration(status.history.newest - status.history.oldest)}</small>
        </dd>
      </div>
      {status && (
        <div>
          <dt>Started</dt>
          <dd>{time(unix(status.started))}</dd>
        </div>
      )}
    </dl>
  );
}

const reasons = (of: Record<string, number> | undefined): string =>
  Object.entries(of ?? {})
    .filter(([, n]) => n > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)}`)
    .join(", ");
