import { useEffect, useRef, useState } from "preact/hooks";
import { type Flow, type Total, url } from "./api";
import { appName, bytes, count, duration, parseTime, percent, time, unix } from "./format";
import { Labels, NameForm, useLabels } from "./labels";
import { useLive } from "./live";
import { rangeOf, Spans } from "./range";
import { change, useView } from "./route";
import { type Column, Table } from "./table";
import { useGet, useKey } from "./use";

export const endpoint = (ip: string, port: number): string => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`);

export const flowColumns: Column<Flow>[] = [
  { head: "last packet, UTC", cell: (f) => time(f.flow.end, true) },
  { head: "from", cell: (f) => endpoint(f.src_ip, f.src_port) },
  { head: "to", cell: (f) => endpoint(f.dest_ip, f.dest_port) },
  { head: "proto", cell: (f) => f.proto },
  { head: "application", cell: (f) => <App of={f} />, value: (f) => appName(f.flow.app ?? "", f.flow.novel) },
  { head: "sure", cell: (f) => (f.flow.confidence === undefined ? "–" : percent(f.flow.confidence)), value: (f) => f.flow.confidence ?? null, right: true },
  { head: "packets", cell: (f) => count(f.flow.pkts_toserver + f.flow.pkts_toclient), value: (f) => f.flow.pkts_toserver + f.flow.pkts_toclient, right: true },
  { head: "bytes", cell: (f) => bytes(f.flow.bytes_toserver + f.flow.bytes_toclient), value: (f) => f.flow.bytes_toserver + f.flow.bytes_toclient, right: true },
  { head: "length", cell: (f) => duration(unix(f.flow.end) - unix(f.flow.start)), value: (f) => unix(f.flow.end) - unix(f.flow.start), right: true },
];

const App = (p: { of: Flow }) => <span class={p.of.flow.novel ? "app novel" : p.of.flow.app ? "app" : "dim"}>{appName(p.of.flow.app ?? "", p.of.flow.novel)}</span>;

// how says how a label was reached.
function how(f: Flow): string {
  const e = f.flow;
  if (!e.app) return "No label: no packet of this flow had a payload that a network could look at, or there is no model.";
  const packets = `${count(e.label_packets ?? 0)} ${e.label_packets === 1 ? "packet" : "packets"} with payload`;
  const who = e.label_source === "flow" ? `The flow network (LSTM) decided after ${packets}` : `The packet network (CNN) decided from single packets, ${packets} in all`;
  const sure = e.confidence === undefined ? "" : `; its calibrated confidence is ${percent(e.confidence)}`;
  const odd = e.novel ? ` The flow is unlike everything in training: ${e.app} is only what is nearest.` : "";
  return `${who}${sure}. Model ${e.model ?? "unknown"}.${odd}`;
}

function Detail(p: { of: Flow }) {
  const e = p.of.flow;
  const label = useLabels().data?.labels.find((l) => l.group === 0 && l.example.flow_id === p.of.flow_id);
  return (
    <div class="flow">
      <p class="sentence">{how(p.of)}</p>
      {label && (
        <p class="sentence">
          {label.who || "Somebody"} says that this is <span class="app">{label.app}</span>.
        </p>
      )}
      <NameForm path={`/flows/${p.of.flow_id}/label`} more={{ end: e.end }} what="This is" />
      <dl>
        <dt>to the server</dt>
        <dd>
          {count(e.pkts_toserver)} packets, {bytes(e.bytes_toserver)}, {bytes(e.payload_bytes_toserver)} of payload
        </dd>
        <dt>to the client</dt>
        <dd>
          {count(e.pkts_toclient)} packets, {bytes(e.bytes_toclient)}, {bytes(e.payload_bytes_toclient)} of payload
        </dd>
        <dt>time</dt>
        <dd>
          {time(e.start, true)} to {time(e.end, true)} UTC, {e.reason.replaceAll("_", " ")}
        </dd>
        <dt>Community ID</dt>
        <dd>{p.of.community_id}</dd>
      </dl>
    </div>
  );
}

export function Flows() {
  const live = useLive();
  const { query } = useView();
  const range = rangeOf(query, live.now);
  const asked = {
    since: range.since,
    until: range.until,
    app: query.get("app"),
    host: query.get("host"),
    port: query.get("port"),
    novel: query.get("novel") === "true",
  };
  const found = useGet<{ flows: Flow[]; more: boolean; faults?: string[] }>("/flows", { ...asked, limit: 500 });
  const apps = useGet<{ totals: Total[] }>("/top/apps", { limit: 200 });
  const chosen = query.get("flow");
  const first = useRef<HTMLInputElement>(null);
  useKey({ "/": () => first.current?.focus(), r: found.again });
  const labels = [...new Set((apps.data?.totals ?? []).map((t) => t.name).filter((n) => n !== ""))].sort();
  return (
    <>
      <div class="bar">
        <Spans range={range} live={live} first="All" />
      </div>
      <form
        class="bar search"
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          found.again();
        }}
      >
        <Field label="Address or network" name="host" value={asked.host} focus={first} hint="10.0.0.7 or 10.0.0.0/8" />
        <label>
          Application{" "}
          <select value={asked.app ?? ""} onChange={(e) => change({ app: e.currentTarget.value })}>
            <option value="">any</option>
            {labels.map((l) => (
              <option value={l}>{l}</option>
            ))}
            {asked.app && !labels.includes(asked.app) && <option value={asked.app}>{asked.app}</option>}
          </select>
        </label>
        <Field label="Port" name="port" value={asked.port} hint="443" />
        <Field label="From, UTC" name="since" value={range.span === "range" && range.since !== undefined ? time(range.since) : ""} hint="2026-11-22 01:30:00" time />
        <Field label="To, UTC" name="until" value={range.span === "range" && range.until !== undefined ? time(range.until) : ""} hint="2026-11-22 01:35:00" time />
        <label class="check">
          <input type="checkbox" checked={asked.novel} onChange={(e) => change({ novel: e.currentTarget.checked ? "true" : null })} /> unlike training
        </label>
        <button type="submit">
          Search <kbd>r</kbd>
        </button>
        <span class="tools">
          <a href={url("/flows/export", { ...asked, format: "csv" })} download>
            All as CSV
          </a>{" "}
          <a href={url("/flows/export", { ...asked, format: "ndjson" })} download>
            as JSON lines
          </a>
        </span>
      </form>
      {found.error && <p class="error">{found.error}</p>}
      {found.data?.faults?.map((f) => <p class="error">{f}</p>)}
      <section class="panel">
        <Table<Flow>
          name="flows"
          caption={found.data ? `${found.data.more ? "The newest " : ""}${count(found.data.flows.length)} flows that ended; choose one to see how its label was reached` : ""}
          rows={found.data?.flows ?? []}
          columns={flowColumns}
          open={(f) => change({ flow: String(f.flow_id) === chosen ? null : f.flow_id }, true)}
          selected={(f) => String(f.flow_id) === chosen}
          below={(f) => <Detail of={f} />}
          empty={found.loading ? "Loading…" : "No flow that ended is so. Those that go on are told when they end."}
        />
      </section>
      <Labels />
    </>
  );
}

// Field is a text of the search, which the URL takes over when it is whole.
function Field(p: { label: string; name: string; value: string | null; hint: string; time?: boolean; focus?: { current: HTMLInputElement | null } }) {
  const [text, set] = useState(p.value ?? "");
  useEffect(() => set(p.value ?? ""), [p.value]);
  const take = () => {
    if (text === (p.value ?? "")) return;
    if (!p.time) change({ [p.name]: text.trim() });
    else if (text.trim() === "") change({ [p.name]: null });
    else {
      const t = parseTime(text);
      if (t === undefined) set(p.value ?? "");
      else change({ [p.name]: t, span: null });
    }
  };
  return (
    <label>
      {p.label}{" "}
      <input ref={p.focus} name={p.name} value={text} placeholder={p.hint} size={p.time ? 19 : p.name === "port" ? 6 : 20} spellcheck={false} onInput={(e) => set(e.currentTarget.value)} onBlur={take} onKeyDown={(e) => e.key === "Enter" && take()} />
    </label>
  );
}
