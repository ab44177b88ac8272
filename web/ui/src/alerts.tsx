import { useRef, useState } from "preact/hooks";
import { type AlertWhole, type Count, type Feature, type Flow, type Incident, type IncidentWhole, post, type Status, url, type VerdictName } from "./api";
import { Part } from "./bars";
import { Exclude, Exclusions } from "./exclude";
import { count, duration, percent, plain, time, unix } from "./format";
import { flowColumns } from "./flows";
import { quiet, useLive } from "./live";
import { rangeOf, Spans } from "./range";
import { change, follow, href, useView } from "./route";
import { Table } from "./table";
import { useGet, useKey } from "./use";
import { Verdict } from "./verdict";

export function Alerts(p: { status: Status | undefined }) {
  const live = useLive();
  const { query } = useView();
  const range = rangeOf(query, live.now);
  const verdict = query.get("verdict") ?? "";
  const list = useGet<{ incidents: Incident[] }>("/incidents", { since: range.since, until: range.until, verdict, limit: 500 }, live.alerts.length);
  const incidents = list.data?.incidents ?? [];
  const chosen = query.get("incident");
  const move = (by: number) => {
    const i = incidents.findIndex((one) => String(one.id) === chosen);
    const next = incidents[i < 0 ? 0 : Math.max(0, Math.min(incidents.length - 1, i + by))];
    if (next) change({ incident: next.id, alert: null, at: null }, true);
  };
  useKey({ j: () => move(1), k: () => move(-1) });
  return (
    <>
      <div class="bar">
        <Spans range={range} live={live} first="All" />
        <label>
          Verdict{" "}
          <select value={verdict} onChange={(e) => change({ verdict: e.currentTarget.value })}>
            <option value="">any</option>
            <option value="open">open</option>
            <option value="confirmed">confirmed</option>
            <option value="dismissed">dismissed</option>
          </select>
        </label>
      </div>
      {list.error && <p class="error">{list.error}</p>}
      <div class="split">
        <section class="panel list">
          <Table
            name="incidents"
            caption={`${incidents.length} ${incidents.length === 1 ? "incident" : "incidents"}, the newest first`}
            rows={incidents}
            shown={500}
            empty={list.loading ? "Loading…" : quiet(live)}
            open={(one) => change({ incident: one.id, alert: null, at: null })}
            selected={(one) => String(one.id) === chosen}
            columns={[
              { head: "start, UTC", cell: (one) => time(one.start) },
              { head: "what", cell: (one) => <span class="clip">{one.what}</span>, value: (one) => one.what, wide: true },
              { head: "length", cell: (one) => duration(unix(one.end) - unix(one.start)), value: (one) => unix(one.end) - unix(one.start), right: true },
              { head: "alerts", cell: (one) => count(one.alerts), value: (one) => one.alerts, right: true },
              { head: "peak", cell: (one) => plain(one.peak), value: (one) => one.peak, right: true },
              { head: "verdict", cell: (one) => <Verdict of={one.verdict} />, value: (one) => one.verdict.verdict },
            ]}
          />
        </section>
        {chosen ? <IncidentView key={chosen} id={chosen} evidence={p.status?.evidence ?? false} changed={list.again} /> : incidents.length > 0 && <p class="empty hint">Choose an incident, or press <kbd>j</kbd>.</p>}
      </div>
      <Exclusions />
    </>
  );
}

function IncidentView(p: { id: string; evidence: boolean; changed: () => void }) {
  const { query } = useView();
  const live = useLive();
  const incident = useGet<IncidentWhole>(`/incidents/${encodeURIComponent(p.id)}`, {}, live.alerts.length);
  const one = incident.data;
  const at = Number.parseFloat(query.get("at") ?? "");
  const near = Number.isFinite(at) ? one?.list.find((a) => Math.abs(unix(a.start) - at) < a.length / 2) : undefined;
  const id = query.get("alert") ?? near?.id ?? one?.peak_alert ?? "";
  const alert = useGet<AlertWhole>(id ? `/alerts/${encodeURIComponent(id)}` : "");
  const [note, setNote] = useState("");
  const [error, setError] = useState("");
  const [exclude, setExclude] = useState(false);
  const noteBox = useRef<HTMLInputElement>(null);
  const judge = (verdict: VerdictName) => {
    post(`/alerts/${encodeURIComponent(p.id)}/verdict`, { verdict, note })
      .then(() => {
        setError("");
        setNote("");
        incident.again();
        alert.again();
        p.changed();
      })
      .catch((e: Error) => setError(e.message));
  };
  useKey({ c: () => judge("confirmed"), d: () => judge("dismissed"), o: () => judge("open"), n: () => noteBox.current?.focus(), x: () => setExclude(true), Escape: () => change({ incident: null, alert: null, at: null }) });
  if (incident.error) return <p class="error">{incident.error}</p>;
  if (!one) return <p class="empty">Loading…</p>;
  return (
    <article class="panel detail" aria-label={`Incident ${one.id}`}>
      <h2>
        Incident {one.id} <Verdict of={one.verdict} />
      </h2>
      <p class="sentence">{alert.data?.what || one.what}</p>
      <p class="dim">
        {time(one.start)} to {time(one.end)} UTC, {count(one.alerts)} {one.alerts === 1 ? "alert" : "alerts"}, highest score {plain(one.peak)}
        {one.verdict.note && ` – ${one.verdict.note}`}
      </p>
      <form
        class="bar"
        onSubmit={(e) => {
          e.preventDefault();
          judge("confirmed");
        }}
      >
        <input ref={noteBox} placeholder="Why, for others to read" aria-label="Note" maxLength={500} value={note} onInput={(e) => setNote(e.currentTarget.value)} />
        <button type="button" class="confirm" onClick={() => judge("confirmed")}>
          Confirm <kbd>c</kbd>
        </button>
        <button type="button" onClick={() => judge("dismissed")}>
          Dismiss <kbd>d</kbd>
        </button>
        {one.verdict.verdict !== "open" && (
          <button type="button" onClick={() => judge("open")}>
            Reopen <kbd>o</kbd>
          </button>
        )}
        <button type="button" onClick={() => setExclude(true)}>
          Exclude… <kbd>x</kbd>
        </button>
        <a href={url(`/alerts/${one.id}/export`)} download>
          Export JSON
        </a>
        {p.evidence && (
          <a href={url(`/alerts/${one.id}/packets`)} download>
            Packets of the incident
          </a>
        )}
      </form>
      {error && <p class="error">{error}</p>}
      {one.list.length > 1 && (
        <Table
          name={`incident-${one.id}`}
          caption="Alerts of this incident: windows in a row whose score reaches the threshold"
          rows={one.list}
          open={(a) => change({ alert: a.id, at: null }, true)}
          selected={(a) => a.id === id}
          columns={[
            { head: "alert", cell: (a) => a.id },
            { head: "window, UTC", cell: (a) => time(a.start, true) },
            { head: "score", cell: (a) => plain(a.score), value: (a) => a.score, right: true },
            { head: "threshold", cell: (a) => plain(a.threshold), value: (a) => a.threshold, right: true },
            { head: "", cell: (a) => <Part of={a.score / one.peak} />, value: () => "" },
          ]}
        />
      )}
      {alert.error && <p class="error">{alert.error}</p>}
      {alert.data && <AlertView of={alert.data} evidence={p.evidence} />}
      {exclude && alert.data && <Exclude of={alert.data} close={() => setExclude(false)} />}
    </article>
  );
}

function AlertView(p: { of: AlertWhole; evidence: boolean }) {
  const { alert, id } = p.of;
  const since = unix(alert.start);
  const until = since + alert.length;
  const largest = Math.max(...alert.features.map((f) => f.share), 1e-9);
  // Flows are found by their last packet: those of a scan end a little later.
  const flows = useGet<{ flows: Flow[]; more: boolean }>("/flows", { since, until: until + 1, limit: 50 });
  return (
    <>
      <h3>
        Window {id}: score {plain(alert.score)}, threshold {plain(alert.threshold)}
      </h3>
      <p class="dim">
        {time(alert.start, true)} UTC, {duration(alert.length)}, {count(alert.packets)} packets{alert.lost > 0 && `, ${count(alert.lost)} more were lost`}, model {alert.model}
      </p>
      <div class="columns">
        <Counts title="From" of={alert.top.src_ips} all={alert.packets} link="host" />
        <Counts title="To" of={alert.top.dest_ips} all={alert.packets} link="host" />
        <Counts title="To port" of={alert.top.dest_ports} all={alert.packets} link="port" />
        {alert.top.apps && <Counts title="Applications" of={alert.top.apps} all={alert.packets} link="app" />}
      </div>
      <Table<Feature>
        name={`alert-${id}-features`}
        caption="The 53 features; the shares add up to the score"
        rows={alert.features}
        columns={[
          { head: "feature", cell: (f) => f.name },
          { head: "observed", cell: (f) => plain(f.observed), value: (f) => f.observed, right: true },
          { head: "expected", cell: (f) => plain(f.expected), value: (f) => f.expected, right: true },
          { head: "usual", cell: (f) => (f.usual ? `${plain(f.usual[0])} – ${plain(f.usual[1])}` : "–"), right: true },
          { head: "share", cell: (f) => percent(f.share / alert.score), value: (f) => f.share, right: true },
          { head: "of the score", cell: (f) => <Part of={f.share / largest} />, value: (f) => f.share / alert.score },
          { head: "moved by", cell: (f) => <span class="clip" title={moved(f)}>{moved(f)}</span>, value: moved, wide: true },
        ]}
      />
      {(alert.evidence.how || (p.evidence && alert.evidence.packets)) && (
        <div class="evidence">
          <h3>Packets</h3>
          {p.evidence && alert.evidence.packets ? (
            <p>
              <a href={url(`/alerts/${id}/packets`)} download>
                {count(alert.evidence.packets)} packets as pcapng
              </a>
              {alert.evidence.exact && <span class="dim"> – run over them, the window gets the same score again</span>}
            </p>
          ) : null}
          {alert.evidence.how && (
            <>
              <p class="dim">This cuts the packets of the window out of the captures:</p>
              <pre>{alert.evidence.how}</pre>
              <button type="button" onClick={() => void navigator.clipboard.writeText(alert.evidence.how ?? "")}>
                Copy
              </button>
            </>
          )}
        </div>
      )}
      <h3>
        Flows of that time{" "}
        <a href={href("/flows", { since, until })} onClick={follow}>
          search them
        </a>
      </h3>
      {flows.error && <p class="error">{flows.error}</p>}
      <Table<Flow>
        name={`alert-${id}-flows`}
        caption={flows.data?.more ? "The newest 50" : "Flows whose last packet lies in the window"}
        rows={flows.data?.flows ?? []}
        columns={flowColumns}
        empty={flows.loading ? "Loading…" : "No flow has ended in this time yet."}
      />
    </>
  );
}

// moved says whose packets moved a feature, and from what to what.
const moved = (f: Feature): string =>
  (f.movers ?? []).map((m) => `${m.by === "dest_port" ? "port " : m.by === "src_ip" ? "from " : m.by === "dest_ip" ? "to " : ""}${m.name || "no label"} ${plain(m.observed)} (usual ${plain(m.usual)})`).join("; ");

function Counts(p: { title: string; of: Count[]; all: number; link: string }) {
  return (
    <section>
      <h4>{p.title}</h4>
      {p.of.length === 0 && <p class="empty">–</p>}
      <ol class="counts">
        {p.of.map((c) => (
          <li>
            <a href={href("/flows", { [p.link]: c.name })} onClick={follow}>
              {c.name || "no label"}
            </a>
            <span>{count(c.packets)}</span>
            <Part of={c.packets / Math.max(p.all, 1)} />
          </li>
        ))}
      </ol>
    </section>
  );
}
