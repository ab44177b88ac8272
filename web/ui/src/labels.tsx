import { useEffect, useRef, useState } from "preact/hooks";
import { type Label, type Part, post, remove, type Total } from "./api";
import { count, time } from "./format";
import { endpoint } from "./flows";
import { Table } from "./table";
import { useGet, useKey } from "./use";

// told says that labels have changed.
const told = new EventTarget();

// useLabels returns what people said that flows are, and again when that has changed.
export function useLabels() {
  const [tick, setTick] = useState(0);
  useEffect(() => {
    const f = () => setTick((n) => n + 1);
    told.addEventListener("change", f);
    return () => told.removeEventListener("change", f);
  }, []);
  return { ...useGet<{ labels: Label[] }>("/labels", {}, tick), tick };
}

// NameForm asks which application something is and tells the API. Its key is n. Where all is named it says what was named last, to undo.
export function NameForm(p: { path: string; more?: Record<string, unknown>; what: string; ports?: Part[]; named?: boolean }) {
  const [port, setPort] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  const apps = useGet<{ totals: Total[] }>("/top/apps", { limit: 200 });
  const labels = useLabels();
  const [app, setApp] = useState("");
  const [note, setNote] = useState("");
  const [done, setDone] = useState<Label | null>(null);
  const [error, setError] = useState("");
  useKey({ n: () => field.current?.focus() });
  useEffect(() => {
    setDone(null);
    setError("");
    setPort(0);
    setApp("");
    setNote("");
  }, [p.path]);
  const known = [...new Set([...(labels.data?.labels ?? []).map((l) => l.app), ...(apps.data?.totals ?? []).map((t) => t.name)])].filter((n) => n !== "").sort();
  return (
    <form
      class="bar"
      onSubmit={(e) => {
        e.preventDefault();
        post<Label>(p.path, { app: app.trim(), note, ...(port ? { port } : {}), ...p.more })
          .then((l) => {
            setError("");
            setPort(0);
            setApp("");
            setNote("");
            setDone(l);
            told.dispatchEvent(new Event("change"));
          })
          .catch((e: Error) => {
            setDone(null);
            setError(e.message);
          });
      }}
    >
      {p.named ? (
        "All its flows have a name."
      ) : (
        <>
          <label>
            {p.what} <input ref={field} name="app" list="known-apps" required maxLength={100} size={24} value={app} autocomplete="off" spellcheck={false} placeholder="known or new" onInput={(e) => setApp(e.currentTarget.value)} />
          </label>
          <datalist id="known-apps">
            {known.map((n) => (
              <option value={n} />
            ))}
          </datalist>
          {p.ports && p.ports.length > 1 && (
            <label>
              Only to port{" "}
              <select name="port" value={port} onChange={(e) => setPort(Number(e.currentTarget.value))}>
                <option value={0}>any</option>
                {[...new Set(p.ports.map((o) => Number.parseInt(o.name)))].filter((n) => n > 0).map((n) => (
                  <option value={n}>{n}</option>
                ))}
              </select>
            </label>
          )}
          <label>
            Why <input name="note" size={24} maxLength={500} value={note} onInput={(e) => setNote(e.currentTarget.value)} />
          </label>
          <button type="submit" class="confirm">
            Name <kbd>n</kbd>
          </button>
        </>
      )}
      {error && <span class="error">{error}</span>}
      {done && (
        <span class="told" role="status">
          {count(done.flows)} {done.flows === 1 ? "flow is" : "flows are"} {done.app}.
          {done.openings < done.flows && ` Of ${count(done.flows - done.openings)} no payload is kept any more: there is nothing to train with.`}{" "}
          <button type="button" onClick={() => takeBack(done.id, setError).then(() => setDone(null))}>
            Undo
          </button>
        </span>
      )}
    </form>
  );
}

const takeBack = (id: number, fail: (text: string) => void): Promise<void> =>
  remove(`/labels/${id}`)
    .then(() => {
      told.dispatchEvent(new Event("change"));
    })
    .catch((e: Error) => fail(e.message));

// Labels lists what people said that flows are; nothing where nobody did.
export function Labels() {
  const [error, setError] = useState("");
  const found = useLabels();
  if (!found.data?.labels.length) return null;
  return (
    <section class="panel">
      {error && <p class="error">{error}</p>}
      <p class="dim">
        <code>weir train apps --corrections</code> learns them.
      </p>
      <Table<Label>
        name="labels"
        caption="Labels that people gave"
        rows={found.data.labels}
        columns={[
          { head: "number", cell: (l) => l.id, value: (l) => l.id },
          { head: "application", cell: (l) => <span class="app">{l.app}</span>, value: (l) => l.app },
          { head: "of", cell: (l) => (l.group ? `group ${l.group}${l.port ? `, port ${l.port}` : ""}` : endpoint(l.example.dest_ip, l.example.dest_port)), wide: true },
          { head: "was", cell: (l) => l.was },
          { head: "flows", cell: (l) => count(l.flows), value: (l) => l.flows, right: true },
          { head: "with payload", cell: (l) => count(l.openings), value: (l) => l.openings, right: true },
          { head: "by", cell: (l) => l.who },
          { head: "at, UTC", cell: (l) => time(l.at), value: (l) => l.at },
          { head: "why", cell: (l) => l.note },
          {
            head: "",
            value: () => "",
            cell: (l) => (
              <button type="button" onClick={() => takeBack(l.id, setError)}>
                Take back
              </button>
            ),
          },
        ]}
      />
    </section>
  );
}
