import { useState } from "preact/hooks";
import { type Model, post } from "./api";
import { Drift } from "./drift";
import { count, duration, percent, plain, time } from "./format";
import { change, useView } from "./route";
import { Table } from "./table";
import { Trials } from "./trials";
import { modal, useGet } from "./use";

interface Whole {
  kind: string;
  name: string;
  version: string;
  created: string;
  weir: string;
  profile: string;
  features: string;
  labels?: string[];
  settings: unknown;
  trained_on: { files: { name: string; bytes: number }[] | null; split?: { summary?: string }; seconds: number };
  notes?: string[];
  weights: number;
  evaluation?: {
    packet?: { accuracy?: number; macro_f1?: number };
    flow?: { accuracy?: number; macro_f1?: number };
    capture?: { accuracy?: number; macro_f1?: number };
    classes?: { label: string; precision: number; recall: number; f1: number; support: number }[];
    split?: unknown;
    baseline?: Record<string, unknown>;
  };
}

export function Models() {
  const { query } = useView();
  const list = useGet<{ models: Model[] }>("/models");
  const [told, setTold] = useState("");
  const [ask, setAsk] = useState<{ text: string; run: () => Promise<{ live: string; follows: boolean }> } | null>(null);
  const chosen = query.get("model");
  const ref = (m: Model) => `${m.name}@${m.version}`;
  const run = () => {
    ask
      ?.run()
      .then((done) => {
        setTold(
          `${done.live} is live: ${done.follows ? "what is watched here takes it over within a second or two." : "what is watched here does not take it over. It was started with other models or with NAME@VERSION, or reads captures without --follow-models. The next start that names no version does."}`,
        );
        list.again();
      })
      .catch((e: Error) => setTold(e.message));
    setAsk(null);
  };
  return (
    <>
      {list.error && <p class="error">{list.error}</p>}
      {told && (
        <p class="told" role="status">
          {told}
        </p>
      )}
      <section class="panel">
        <Table<Model>
          name="models"
          caption="Versions of models"
          rows={list.data?.models ?? []}
          open={(m) => change({ model: ref(m) === chosen ? null : ref(m) }, true)}
          selected={(m) => ref(m) === chosen}
          empty={list.loading ? "Loading…" : "There are no models: weir train makes some."}
          columns={[
            { head: "model", cell: (m) => m.name },
            { head: "version", cell: (m) => m.version },
            { head: "kind", cell: (m) => m.kind },
            { head: "profile", cell: (m) => m.profile },
            { head: "trained, UTC", cell: (m) => (m.created ? time(m.created) : m.fault), value: (m) => m.created },
            { head: "labels", cell: (m) => count(m.labels), value: (m) => m.labels, right: true },
            {
              head: "state",
              cell: (m) => (
                <>
                  {m.live && <span class="badge good">live</span>} {m.in_use && <span class="badge">in use now</span>}
                </>
              ),
              value: (m) => [m.live && "live", m.in_use && "in use"].filter(Boolean).join(", "),
            },
            {
              head: "",
              value: () => "",
              cell: (m) =>
                m.live ? (
                  <button
                    type="button"
                    onClick={(e) => {
                      e.stopPropagation();
                      setAsk({ text: `Make the version of ${m.name} that was live before ${m.version} live again?`, run: () => post(`/models/${encodeURIComponent(m.name)}/rollback`) });
                    }}
                  >
                    Roll back
                  </button>
                ) : (
                  !m.fault && (
                    <button
                      type="button"
                      onClick={(e) => {
                        e.stopPropagation();
                        setAsk({ text: `Make ${ref(m)} the live version?`, run: () => post(`/models/${encodeURIComponent(m.name)}/promote`, { version: m.version }) });
                      }}
                    >
                      Promote
                    </button>
                  )
                ),
            },
          ]}
        />
      </section>
      {chosen && <ModelView key={chosen} id={chosen} />}
      <Drift />
      <Trials />
      {ask && (
        <dialog ref={modal} onClose={() => setAsk(null)}>
          <p>{ask.text}</p>
          <p class="bar">
            <button type="button" class="confirm" onClick={run}>
              Yes
            </button>
            <button type="button" onClick={() => setAsk(null)}>
              No
            </button>
          </p>
        </dialog>
      )}
    </>
  );
}

function ModelView(p: { id: string }) {
  const [name = "", version = ""] = p.id.split("@");
  const found = useGet<Whole>(`/models/${encodeURIComponent(name)}/${encodeURIComponent(version)}`);
  const m = found.data;
  if (found.error) return <p class="error">{found.error}</p>;
  if (!m) return <p class="empty">Loading…</p>;
  const e = m.evaluation;
  const scored = (["packet", "flow", "capture"] as const).filter((k) => e?.[k]?.accuracy !== undefined);
  return (
    <article class="panel detail" aria-label={p.id}>
      <h2>{p.id}</h2>
      <dl class="facts">
        <dt>trained</dt>
        <dd>
          {time(m.created)} UTC by weir {m.weir || "unknown"} in {duration(m.trained_on.seconds)}, profile {m.profile}
        </dd>
        <dt>features</dt>
        <dd>{m.features}</dd>
        <dt>weights</dt>
        <dd>{count(m.weights)} numbers</dd>
        {m.labels && (
          <>
            <dt>labels</dt>
            <dd>{m.labels.join(", ")}</dd>
          </>
        )}
        <dt>captures</dt>
        <dd>{count(m.trained_on.files?.length ?? 0)}</dd>
        {m.trained_on.split?.summary && (
          <>
            <dt>split</dt>
            <dd>{m.trained_on.split.summary}</dd>
          </>
        )}
        {m.notes?.map((n) => (
          <>
            <dt>note</dt>
            <dd>{n}</dd>
          </>
        ))}
      </dl>
      {scored.length > 0 && (
        <Table
          name={`${p.id}-evaluation`}
          caption="Evaluation on validation data, after training"
          rows={scored.map((k) => ({ k, of: e?.[k] }))}
          columns={[
            { head: "unit", cell: (r) => r.k },
            { head: "accuracy", cell: (r) => percent(r.of?.accuracy ?? 0), value: (r) => r.of?.accuracy ?? null, right: true },
            { head: "macro F1", cell: (r) => plain(r.of?.macro_f1 ?? 0), value: (r) => r.of?.macro_f1 ?? null, right: true },
          ]}
        />
      )}
      {e?.classes && (
        <Table
          name={`${p.id}-classes`}
          caption="By application"
          rows={e.classes}
          columns={[
            { head: "label", cell: (c) => c.label },
            { head: "precision", cell: (c) => percent(c.precision), value: (c) => c.precision, right: true },
            { head: "recall", cell: (c) => percent(c.recall), value: (c) => c.recall, right: true },
            { head: "F1", cell: (c) => plain(c.f1), value: (c) => c.f1, right: true },
            { head: "flows", cell: (c) => count(c.support), value: (c) => c.support, right: true },
          ]}
        />
      )}
      <details>
        <summary>Settings</summary>
        <pre>{JSON.stringify(m.settings, null, 1)}</pre>
      </details>
    </article>
  );
}
