import { useEffect, useState } from "preact/hooks";
import { type AlertWhole, type Exclusion, post, remove, type Trial } from "./api";
import { count, time } from "./format";
import { Table } from "./table";
import { modal, useGet } from "./use";

// told says that exclusions have changed.
const told = new EventTarget();

const lasts: [string, number][] = [
  ["a day", 86400],
  ["a week", 7 * 86400],
  ["30 days", 30 * 86400],
  ["until it is taken back", 0],
];

// Exclude asks what of an alert is not to be raised any more, and says first what that would have suppressed.
export function Exclude(p: { of: AlertWhole; close: () => void }) {
  const { alert } = p.of;
  const movers = (by: string): string[] => alert.features.flatMap((f) => f.movers ?? []).filter((m) => m.by === by).map((m) => m.name);
  const some = (all: string[]): string[] => [...new Set(all)].slice(0, 12);
  const hosts = some([...movers("src_ip"), ...movers("dest_ip"), ...alert.top.src_ips.map((c) => c.name), ...alert.top.dest_ips.map((c) => c.name)]);
  const ports = some([...movers("dest_port"), ...alert.top.dest_ports.map((c) => c.name)]);
  const apps = some([...(alert.apps_moved ?? []).map((m) => m.name), ...(alert.top.apps ?? []).map((c) => c.name)].filter((n) => n !== ""));
  const [host, setHost] = useState("");
  const [port, setPort] = useState("");
  const [app, setApp] = useState("");
  const [feature, setFeature] = useState("");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [seconds, setSeconds] = useState(7 * 86400);
  const [note, setNote] = useState("");
  const [trial, setTrial] = useState<Trial | null>(null);
  const [error, setError] = useState("");
  const send = (only: boolean) => {
    post<Trial>(`/alerts/${encodeURIComponent(p.of.id)}/exclude`, { host, port: Number(port) || 0, app, feature, from, to, seconds, note, try: only })
      .then((t) => {
        setError("");
        setTrial(t);
        if (t.id !== null) told.dispatchEvent(new Event("change"));
      })
      .catch((e: Error) => {
        setTrial(null);
        setError(e.message);
      });
  };
  const choice = (label: string, value: string, set: (v: string) => void, options: string[]) => (
    <>
      <dt>{label}</dt>
      <dd>
        <select
          aria-label={label}
          value={value}
          onChange={(e) => {
            set(e.currentTarget.value);
            setTrial(null);
          }}
        >
          <option value="">any</option>
          {options.map((o) => (
            <option value={o}>{o}</option>
          ))}
        </select>
      </dd>
    </>
  );
  return (
    <dialog ref={modal} class="exclude" onClose={p.close}>
      <h2>Raise no more alerts like {p.of.id}</h2>
      <p class="dim">All that is chosen must hold. Scores stay as they are, and what is suppressed is stored and counted.</p>
      <dl class="facts">
        {choice("Host that moved the score", host, setHost, hosts)}
        {choice("Port that moved it", port, setPort, ports)}
        {apps.length > 0 && choice("Application that moved it", app, setApp, apps)}
        {choice("Feature in the lead", feature, setFeature, some(alert.features.slice(0, 5).map((f) => f.name)))}
        <dt>Time of day, UTC</dt>
        <dd>
          <input aria-label="From" size={5} placeholder="22:00" value={from} onInput={(e) => setFrom(e.currentTarget.value)} /> –{" "}
          <input aria-label="To" size={5} placeholder="04:30" value={to} onInput={(e) => setTo(e.currentTarget.value)} />
        </dd>
        <dt>It holds for</dt>
        <dd>
          <select aria-label="It holds for" value={seconds} onChange={(e) => setSeconds(Number(e.currentTarget.value))}>
            {lasts.map(([name, n]) => (
              <option value={n}>{name}</option>
            ))}
          </select>
        </dd>
        <dt>Why</dt>
        <dd>
          <input aria-label="Why" size={34} maxLength={500} value={note} onInput={(e) => setNote(e.currentTarget.value)} />
        </dd>
      </dl>
      {error && <p class="error">{error}</p>}
      {trial && (
        <p class={trial.asked_matches > 0 ? "told" : "error"} role="status">
          {trial.id !== null && `Exclusion ${trial.id} holds. `}
          {trial.asked_matches === 0 ? "This alert does not fall under it: nothing is excluded." : `Of all that is stored, ${count(trial.matches)} of ${count(trial.alerts)} alerts fall under it, in ${count(trial.incidents_touched)} of ${count(trial.incidents)} incidents, ${count(trial.incidents_whole)} of them whole.`}
        </p>
      )}
      <p class="bar">
        <button type="button" onClick={() => send(true)}>
          Try
        </button>
        <button type="button" class="confirm" disabled={!trial || trial.asked_matches === 0 || trial.id !== null} onClick={() => send(false)}>
          Exclude
        </button>
        <button type="button" onClick={p.close}>
          Close
        </button>
      </p>
    </dialog>
  );
}

const what = (x: Exclusion): string =>
  [x.host && `host ${x.host}`, x.port > 0 && `port ${x.port}`, x.app && `application ${x.app}`, x.feature && `feature ${x.feature}`, x.from && `${x.from} to ${x.to}`].filter(Boolean).join(", ");

// Exclusions lists what is excluded; nothing where nothing is.
export function Exclusions() {
  const [tick, setTick] = useState(0);
  const [error, setError] = useState("");
  const found = useGet<{ exclusions: Exclusion[] }>("/exclusions", {}, tick);
  useTold(() => setTick((n) => n + 1));
  if (!found.data?.exclusions.length) return null;
  return (
    <section class="panel">
      {error && <p class="error">{error}</p>}
      <Table<Exclusion>
        name="exclusions"
        caption="Exclusions: alerts that are not raised"
        rows={found.data.exclusions}
        columns={[
          { head: "number", cell: (x) => x.id, value: (x) => x.id },
          { head: "what", cell: what, wide: true },
          { head: "suppressed", cell: (x) => count(x.suppressed), value: (x) => x.suppressed, right: true },
          { head: "until, UTC", cell: (x) => (x.until ? time(x.until) : "taken back"), value: (x) => x.until },
          { head: "from alert", cell: (x) => x.alert },
          { head: "by", cell: (x) => x.who },
          { head: "why", cell: (x) => x.note },
          {
            head: "",
            value: () => "",
            cell: (x) => (
              <button
                type="button"
                onClick={() => {
                  remove(`/exclusions/${x.id}`)
                    .then(() => setTick((n) => n + 1))
                    .catch((e: Error) => setError(e.message));
                }}
              >
                Take back
              </button>
            ),
          },
        ]}
      />
    </section>
  );
}

function useTold(f: () => void): void {
  useEffect(() => {
    told.addEventListener("change", f);
    return () => told.removeEventListener("change", f);
  }, []);
}
