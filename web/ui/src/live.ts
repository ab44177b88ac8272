// What is watched now, kept up to date by server-sent events.
import { useEffect, useState } from "preact/hooks";
import { base, type Brief, type LearnState, type State, type Stats, type Total, type Windows } from "./api";

const maxWindows = 10_000;
const maxRates = 2_000;
const maxAlerts = 100;

export class Live {
  connected = false;
  known = false; // whether anything was told yet
  now: number | null = null;
  ended = false;
  windows: Windows = { start: [], length: [], packets: [], score: [], threshold: [], anomalous: [], lost: [], unsure: [] };
  rates = { at: [] as number[], packets_per_second: [] as number[], bits_per_second: [] as number[] };
  stats: Stats | undefined;
  apps: Total[] = [];
  alerts: Brief[] = [];
  learn: LearnState | undefined;
  heard = 0; // performance.now() of the last news

  private waiting = false;
  private readonly changed = new EventTarget();

  private events: EventSource | undefined;

  // A browser opens six connections to a server: pages that nobody looks at do not keep theirs.
  constructor() {
    const look = () => (document.visibilityState === "visible" ? this.open() : this.close());
    document.addEventListener("visibilitychange", look);
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", look);
    look();
  }

  private close(): void {
    this.events?.close();
    this.events = undefined;
  }

  private open(): void {
    if (this.events) return;
    const events = new EventSource(`${base}/events`);
    this.events = events;
    events.addEventListener("state", (e) => {
      this.windows = { start: [], length: [], packets: [], score: [], threshold: [], anomalous: [], lost: [], unsure: [] };
      this.rates = { at: [], packets_per_second: [], bits_per_second: [] };
      this.alerts = [];
      this.take(JSON.parse(e.data as string) as State);
    });
    events.addEventListener("update", (e) => this.take(JSON.parse(e.data as string) as State));
    events.onerror = () => {
      this.connected = false;
      this.tell();
      if (events.readyState === EventSource.CLOSED && this.events === events) {
        // It does not come back by itself where it was refused.
        this.close();
        setTimeout(() => document.visibilityState === "visible" && this.open(), 5000);
      }
    };
  }

  private take(s: State): void {
    this.connected = this.known = true;
    this.heard = performance.now();
    this.now = s.now;
    this.ended = s.ended;
    for (const name of Object.keys(this.windows) as (keyof Windows)[]) append(this.windows[name] as unknown[], s.windows[name], maxWindows);
    for (const name of Object.keys(this.rates) as (keyof State["rates"])[]) append(this.rates[name], s.rates[name], maxRates);
    append(this.alerts, s.alerts, maxAlerts);
    if (s.stats) this.stats = s.stats;
    if (s.apps) this.apps = s.apps;
    if (s.learn) this.learn = s.learn;
    this.tell();
  }

  // taught takes the answer to a change of what is learned, which may come before the news of it.
  taught(state: LearnState): void {
    if (this.learn && state.change < this.learn.change) return;
    this.learn = state;
    this.tell();
  }

  // tell has those who look draw anew, once a frame.
  private tell(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.changed.dispatchEvent(new Event("change"));
    });
  }

  listen(f: () => void): () => void {
    this.changed.addEventListener("change", f);
    return () => this.changed.removeEventListener("change", f);
  }
}

function append<T>(all: T[], more: T[], most: number): void {
  for (const v of more) all.push(v);
  if (all.length > most) all.splice(0, all.length - most);
}

export const live = new Live();

// useLive draws whoever calls it anew when there are news.
export function useLive(): Live {
  const [, set] = useState(0);
  useEffect(() => live.listen(() => set((n) => n + 1)), []);
  return live;
}

// quiet says why there is no incident to see.
export const quiet = (l: Live): string => (l.learn && !l.learn.in_use ? "No detector judges this traffic: nothing can stand out." : "Nothing has stood out.");
