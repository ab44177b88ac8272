import { useState } from "preact/hooks";
import { type LearnState, post, type StandsOut } from "./api";
import { count, duration, percent, plain, time } from "./format";
import { useLive } from "./live";
import { change, follow, href, useView } from "./route";
import { Table } from "./table";
import { modal, useGet } from "./use";

const spans: [string, number][] = [
  ["1 minute", 60],
  ["10 minutes", 600],
  ["1 hour", 3600],
  ["8 hours", 8 * 3600],
  ["a day", 86400],
  ["3 days", 3 * 86400],
  ["a week", 7 * 86400],
  ["until I say so", 0],
];

const lengths: [string, number][] = [
  ["1 s", 1],
  ["2 s", 2],
  ["5 s", 5],
  ["10 s", 10],
  ["30 s", 30],
  ["1 min", 60],
];

// Learn leads through learning what is normal on what is watched: watch, look, train, compare, consent.
export function Learn() {
  const live = useLive();
  const first = useGet<LearnState>("/learn");
  const [error, setError] = useState("");
  const [ask, setAsk] = useState<{ text: string; yes: string; path: string } | null>(null);
  const s = live.learn ?? first.data;
  const send = (path: string, body?: unknown) => {
    setError("");
    post<LearnState>(`/learn/${path}`, body)
      .then((state) => live.taught(state))
      .catch((e: Error) => setError(e.message));
  };
  if (first.error && !s) return <p class="error">{first.error}</p>;
  if (!s) return <p class="empty">Loading…</p>;
  const going = s.phase !== "idle" && s.phase !== "live";
  return (
    <>
      <section class="panel" aria-label="Learn">
        <h2>Learn what is normal here</h2>
        <p class="dim">
          weir watches for a while, leaves out what stands out, and makes a detector of the rest: an attack must not become normal. Nothing changes until you say so.{" "}
          {s.in_use ? `${s.in_use} judges now.` : "No detector judges this traffic yet."}
        </p>
        <Steps phase={s.phase} />
        {error && (
          <p class="error" role="alert">
            {error}
          </p>
        )}
        {s.told && (
          <p class="told" role="status">
            {s.told}
          </p>
        )}
        {s.phase === "live" && s.result && (
          <p class="told" role="status">
            {s.result.ref} is live.{" "}
            {s.taken
              ? `This run takes it over with the next window, without a lost packet.${s.in_use.startsWith(`${s.model}@`) ? "" : ` Name it with --anomaly ${s.model} when weir starts again.`} `
              : `The next start of weir with --anomaly ${s.model} uses it. `}
            To undo it, roll back on the page{" "}
            <a href={href("/models", { model: s.result.ref })} onClick={follow}>
              Models
            </a>
            .
          </p>
        )}
        {!going && (s.possible ? <Begin s={s} send={send} /> : <p class="empty">Learning needs a weir run that watches: this one shows what was seen. Start weir run -i INTERFACE --http ADDRESS.</p>)}
        {going && <Progress s={s} />}
        {s.phase === "watching" && (
          <p class="bar">
            <button type="button" onClick={() => send("enough")} disabled={s.windows === 0}>
              This is enough
            </button>
            <button type="button" onClick={() => setAsk({ text: "Forget all that was seen?", yes: "Forget", path: "discard" })}>
              Discard
            </button>
          </p>
        )}
        {s.phase === "review" && <TrainForm s={s} send={send} discard={() => setAsk({ text: "Forget all that was seen?", yes: "Forget", path: "discard" })} />}
        {s.phase === "training" && (
          <p class="bar">
            <label>
              Training goes on beside watching:{" "}
              <progress aria-label="Training" value={s.done} max={Math.max(s.of, 1)} /> {s.of > 0 ? `pass ${count(s.done)} of ${count(s.of)}` : "it begins"}
            </label>
            <button type="button" onClick={() => send("cancel")}>
              Cancel
            </button>
          </p>
        )}
      </section>
      {s.phase === "trained" && s.result && (
        <section class="panel" aria-label="Result">
          <h2>{s.result.ref}</h2>
          <p class="sentence">{sentence(s)}</p>
          <dl class="facts">
            <dt>learned from</dt>
            <dd>
              {count(s.result.windows)} windows of {duration(s.window)}, {count(s.result.left)} left out
            </dd>
            <dt>threshold</dt>
            <dd>{plain(s.result.threshold)}</dd>
            <dt>promise</dt>
            <dd>{s.result.promise}</dd>
          </dl>
          <Table
            name="learn-comparison"
            caption={s.result.live ? "Alarms on the same windows" : (s.result.live_missing || "There is no detector to compare with") + ": alarms on the windows of the lesson"}
            rows={[
              { who: s.result.ref, kept: s.result.alarms, left: s.result.alarms_left },
              ...(s.result.live ? [{ who: `${s.result.live} (live)`, kept: s.result.live_alarms, left: s.result.live_alarms_left }] : []),
            ]}
            columns={[
              { head: "detector", cell: (r) => r.who },
              { head: `of ${count(s.result.windows)} learned from`, cell: (r) => count(r.kept), value: (r) => r.kept, right: true },
              { head: `of ${count(s.result.left)} left out`, cell: (r) => count(r.left), value: (r) => r.left, right: true },
            ]}
          />
          <p class="dim">The new one has seen the windows that it learned from: what it promises, above, comes from windows that were held back.</p>
          <p class="bar">
            <button type="button" class="confirm" onClick={() => setAsk({ text: `Make ${s.result?.ref ?? ""} the live version?`, yes: "Promote", path: "promote" })}>
              Promote
            </button>
            <button type="button" onClick={() => setAsk({ text: "Discard what was learned? The version stays on the page Models, and is not used.", yes: "Discard", path: "discard" })}>
              Discard
            </button>
          </p>
        </section>
      )}
      {going && <Stands s={s} send={send} />}
      {ask && (
        <dialog ref={modal} onClose={() => setAsk(null)}>
          <p>{ask.text}</p>
          <p class="bar">
            <button
              type="button"
              class="confirm"
              onClick={() => {
                send(ask.path);
                setAsk(null);
              }}
            >
              {ask.yes}
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

type Send = (path: string, body?: unknown) => void;

const steps: [LearnState["phase"], string][] = [
  ["watching", "Watch"],
  ["review", "Look"],
  ["training", "Train"],
  ["trained", "Decide"],
];

function Steps(p: { phase: LearnState["phase"] }) {
  return (
    <ol class="steps" aria-label="Steps">
      {steps.map(([phase, name], i) => (
        <li aria-current={p.phase === phase ? "step" : undefined}>
          {i + 1} {name}
        </li>
      ))}
    </ol>
  );
}

function Begin(p: { s: LearnState; send: Send }) {
  const [seconds, setSeconds] = useState(86400);
  const [length, setLength] = useState(p.s.window || 5);
  const [home, setHome] = useState("");
  return (
    <form
      class="bar"
      onSubmit={(e) => {
        e.preventDefault();
        p.send("start", p.s.fixed ? { seconds } : { seconds, window: length, home: home.split(/[\s,]+/).filter(Boolean) });
      }}
    >
      <label>
        Learn for{" "}
        <select aria-label="Learn for" value={seconds} onChange={(e) => setSeconds(Number(e.currentTarget.value))}>
          {spans.map(([name, n]) => (
            <option value={n}>{name}</option>
          ))}
        </select>
      </label>
      {p.s.fixed ? (
        <span class="dim">in windows of {duration(p.s.window)}, those of the detector in use</span>
      ) : (
        <>
          <label>
            in windows of{" "}
            <select aria-label="in windows of" value={length} onChange={(e) => setLength(Number(e.currentTarget.value))}>
              {lengths.map(([name, n]) => (
                <option value={n}>{name}</option>
              ))}
            </select>
          </label>
          <label>
            home networks{" "}
            <input aria-label="home networks" size={24} placeholder="all packets; or 10.0.0.0/8" value={home} onInput={(e) => setHome(e.currentTarget.value)} />
          </label>
        </>
      )}
      <button type="submit" class="confirm">
        Start learning
      </button>
      <span class="dim">A day shows every hour once; a week, working days and the weekend.</span>
    </form>
  );
}

function Progress(p: { s: LearnState }) {
  const { s } = p;
  const seen = s.hours.filter((n) => n > 0).length;
  const left = s.want > 0 ? Math.max(s.want - s.seen, 0) : 0;
  return (
    <>
      <dl class="health">
        <div>
          <dt>Windows seen</dt>
          <dd>
            {count(s.windows)} <small>of {duration(s.window)}</small>
          </dd>
        </div>
        <div>
          <dt>Time left</dt>
          <dd>{s.phase !== "watching" ? "watched" : s.want > 0 ? duration(Math.round(left)) : "until you say so"}</dd>
        </div>
        <div class={s.odd > 0 ? "still" : ""}>
          <dt>Stand out</dt>
          <dd>
            {count(s.odd)} <small>{count(s.left)} left out</small>
          </dd>
        </div>
        <div class={s.lost > 0 ? "bad" : ""}>
          <dt>Lost packets</dt>
          <dd>
            {count(s.lost)} <small>windows, left out</small>
          </dd>
        </div>
      </dl>
      {s.phase === "watching" && s.want > 0 && <progress class="whole" aria-label="Watching" value={Math.min(s.seen, s.want)} max={s.want} />}
      <h3>
        Hours of the day, UTC: {seen} of 24 seen
      </h3>
      <ol class="hours" aria-label={`${seen} of 24 hours of the day were seen`}>
        {s.hours.map((n, hour) => (
          <li class={n > 0 ? "seen" : ""} title={`${hour}:00, ${count(n)} windows with packets`}>
            {hour}
          </li>
        ))}
      </ol>
      {s.phase !== "watching" && seen < 24 && <p class="dim">What is usual at hours that were not seen may raise alarms.</p>}
      {s.warning && <p class="error">{s.warning}</p>}
    </>
  );
}

function TrainForm(p: { s: LearnState; send: Send; discard: () => void }) {
  const [perDay, setPerDay] = useState("");
  return (
    <form
      class="bar"
      onSubmit={(e) => {
        e.preventDefault();
        p.send("train", Number(perDay) > 0 ? { false_alarms_per_day: Number(perDay) } : {});
      }}
    >
      <label>
        Promise at most{" "}
        <input aria-label="False alarms a day" type="number" min="0" step="any" size={6} placeholder="1 % of windows" value={perDay} onInput={(e) => setPerDay(e.currentTarget.value)} /> false alarms a day
      </label>
      <button type="submit" class="confirm">
        Train from {count(p.s.windows - p.s.left)} windows
      </button>
      <button type="button" onClick={p.discard}>
        Discard
      </button>
      <span class="dim">What cannot be promised from so many windows is refused.</span>
    </form>
  );
}

function Stands(p: { s: LearnState; send: Send }) {
  const { query } = useView();
  const { s } = p;
  const chosen = query.get("window");
  const may = s.phase === "watching" || s.phase === "review";
  return (
    <section class="panel" aria-label="Windows that stand out">
      <Table<StandsOut>
        name="learn-stand-out"
        caption={`Windows that are unlike the others${s.more > 0 ? `; ${count(s.more)} more stretches are not listed` : ""}`}
        rows={s.stands}
        open={(w) => change({ window: String(w.start) === chosen ? null : w.start }, true)}
        selected={(w) => String(w.start) === chosen}
        below={(w) => (
          <>
            <dl class="facts">
              {w.features.map((f) => (
                <>
                  <dt>{f.name}</dt>
                  <dd>
                    {plain(f.value)}, mostly {plain(f.usual)}
                  </dd>
                </>
              ))}
            </dl>
            <a href={href("/flows", { since: w.start, until: w.end })} onClick={follow}>
              Flows of that time
            </a>
          </>
        )}
        empty={s.windows < 30 ? "It takes some windows to see which are unlike the others." : "No window stands out."}
        columns={[
          { head: "from, UTC", cell: (w) => time(w.start), value: (w) => w.start },
          { head: "for", cell: (w) => duration(w.end - w.start), value: (w) => w.end - w.start, right: true },
          { head: "windows", cell: (w) => count(w.windows), value: (w) => w.windows, right: true },
          { head: "what is odd", cell: (w) => w.what, wide: true },
          { head: "learned from", cell: (w) => (w.used ? <span class="badge good">yes, by hand</span> : <span class="badge">left out</span>), value: (w) => w.used },
          {
            head: "",
            value: () => "",
            cell: (w) =>
              may && (
                <button
                  type="button"
                  onClick={(e) => {
                    e.stopPropagation();
                    p.send("windows", { start: w.start, end: w.end, use: !w.used });
                  }}
                >
                  {w.used ? "Leave out" : "Put back in"}
                </button>
              ),
          },
        ]}
      />
      {may && s.windows > 0 && <LeaveOut s={s} send={p.send} />}
    </section>
  );
}

// LeaveOut leaves out what does not stand out, by its time.
function LeaveOut(p: { s: LearnState; send: Send }) {
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const start = Date.parse(from.trim().replace(" ", "T") + "Z") / 1000;
  const end = Date.parse(to.trim().replace(" ", "T") + "Z") / 1000;
  return (
    <form
      class="bar"
      onSubmit={(e) => {
        e.preventDefault();
        p.send("windows", { start, end, use: false });
      }}
    >
      <label>
        Leave out all from <input aria-label="Leave out from, UTC" size={19} placeholder="2026-11-22 22:00:00" value={from} onInput={(e) => setFrom(e.currentTarget.value)} />
      </label>
      <label>
        to <input aria-label="Leave out to, UTC" size={19} placeholder="2026-11-22 22:30:00" value={to} onInput={(e) => setTo(e.currentTarget.value)} /> UTC
      </label>
      <button type="submit" disabled={!(end > start)}>
        Leave out
      </button>
    </form>
  );
}

// sentence says in a line what to think of what was learned.
function sentence(s: LearnState): string {
  const r = s.result;
  if (!r) return "";
  const share = r.windows > 0 ? r.alarms / r.windows : 0;
  const odd = r.left > 0 ? ` and finds ${count(r.alarms_left)} of the ${count(r.left)} that were left out` : "";
  const live = r.live ? ` ${r.live} raises ${count(r.live_alarms)} on the same windows${r.left > 0 ? ` and finds ${count(r.live_alarms_left)}` : ""}.` : "";
  return `It raises ${count(r.alarms)} alarms on the ${count(r.windows)} windows that it learned from (${percent(share)})${odd}.${live}`;
}
