// What the API answers, as openapi.json in the directory above describes it, and how it is asked.

export interface Windows {
  start: number[]; // Unix seconds
  length: number[];
  packets: number[];
  score: (number | null)[];
  threshold: number[];
  anomalous: boolean[];
  lost: number[];
  unsure: boolean[];
}

export interface Total {
  name: string;
  novel: boolean;
  flows: number;
  packets: number;
  bytes: number;
  payload_bytes: number;
}

export interface Stats {
  packets: number;
  bytes: number;
  flows: number;
  active_flows: number;
  labelled_flows: number;
  novel_flows: number;
  windows: number;
  alerts: number;
  decode_errors: Record<string, number>;
  drops: Record<string, number>;
  packets_per_second: number;
  bits_per_second: number;
  shed?: { effort: string; flows: Record<string, number> };
  capture?: { interface: string; captured: number; received: number; dropped: number; missed?: number }[];
  models?: { apps?: string; anomaly?: string };
  drift?: { scores?: Shift; confidences?: Shift; novelty?: Shift };
}

// What a model gives now against what it gave for validation data.
export interface Shift {
  index: number;
  count: number;
  edges: number[];
  training: number[];
  now: number[];
}

export interface Brief {
  start: string;
  length: number;
  score: number;
  threshold: number;
  what: string;
}

export interface State {
  now: number | null;
  ended: boolean;
  windows: Windows;
  rates: { at: number[]; packets_per_second: number[]; bits_per_second: number[] };
  stats?: Stats;
  apps?: Total[];
  alerts: Brief[];
  learn?: LearnState;
  skipped: number;
}

export interface StandsOut {
  start: number;
  end: number;
  windows: number;
  used: boolean;
  odd: boolean;
  what: string;
  features: { name: string; value: number; usual: number }[];
}

export interface LearnState {
  possible: boolean;
  phase: "idle" | "watching" | "review" | "training" | "trained" | "live";
  model: string;
  in_use: string;
  window: number;
  fixed: boolean;
  want: number;
  seen: number;
  windows: number;
  lost: number;
  odd: number;
  chosen: number;
  left: number;
  hours: number[];
  stands: StandsOut[];
  more: number;
  warning: string;
  done: number;
  of: number;
  result: {
    ref: string;
    windows: number;
    left: number;
    threshold: number;
    promise: string;
    per_day: number;
    alarms: number;
    alarms_left: number;
    live: string;
    live_alarms: number;
    live_alarms_left: number;
    live_missing: string;
  } | null;
  taken: boolean;
  told: string;
  change: number;
}

export interface Status {
  version: string;
  started: string;
  source: string;
  watching: boolean;
  models: string[];
  evidence: boolean;
  history: { oldest: number | null; newest: number | null; flows: number; windows: number; alerts: number; incidents: number; segments: number; bytes: number };
  clients: { following: number; dropped_slow: number; refused: number };
}

export interface Flow {
  timestamp: string;
  flow_id: number;
  community_id: string;
  src_ip: string;
  src_port: number;
  dest_ip: string;
  dest_port: number;
  proto: string;
  flow: {
    pkts_toserver: number;
    pkts_toclient: number;
    bytes_toserver: number;
    bytes_toclient: number;
    payload_bytes_toserver: number;
    payload_bytes_toclient: number;
    start: string;
    end: string;
    reason: string;
    app?: string;
    confidence?: number;
    novel?: boolean;
    label_source?: "packet" | "flow";
    label_packets?: number;
    model?: string;
  };
}

export type VerdictName = "open" | "confirmed" | "dismissed";

export interface Verdict {
  verdict: VerdictName;
  note: string;
  who: string;
  at: string | null;
}

export interface Incident {
  id: number;
  source: string;
  start: string;
  end: string;
  alerts: number;
  peak: number;
  peak_alert: string;
  what: string;
  verdict: Verdict;
}

export interface IncidentWhole extends Incident {
  list: (Brief & { id: string; verdict: Verdict })[];
}

export interface Count {
  name: string;
  packets: number;
}

export interface Mover {
  by: "src_ip" | "dest_ip" | "dest_port" | "app";
  name: string;
  observed: number;
  usual: number;
  part: number;
}

export interface Feature {
  name: string;
  observed: number;
  expected: number;
  share: number;
  usual?: [number, number];
  movers?: Mover[];
}

export interface Exclusion {
  id: number;
  host: string;
  port: number;
  app: string;
  feature: string;
  from: string;
  to: string;
  until: string | null;
  note: string;
  who: string;
  at: string;
  alert: string;
  suppressed: number;
}

export interface Trial {
  id: number | null;
  asked: number;
  asked_matches: number;
  alerts: number;
  matches: number;
  incidents: number;
  incidents_touched: number;
  incidents_whole: number;
}

export interface AlertWhole {
  id: string;
  incident: number;
  what: string;
  verdict: Verdict;
  alert: {
    start: string;
    length: number;
    packets: number;
    score: number;
    threshold: number;
    lost: number;
    model: string;
    features: Feature[];
    apps_moved?: Mover[];
    top: { src_ips: Count[]; dest_ips: Count[]; dest_ports: Count[]; apps?: Count[] };
    evidence: { start: string; end: string; files?: string; how?: string; packets?: number; exact?: boolean };
  };
}

export interface Part {
  name: string;
  flows: number;
}

export interface Group {
  id: number;
  model: string;
  flows: number;
  unnamed: number;
  first: string;
  last: string;
  clients: number;
  servers: Part[];
  ports: Part[];
  nearest: Part[];
  similarity: number;
  limit: number;
  names: string[];
  payload_bytes: number;
}

export interface Tuple {
  flow_id: number;
  community_id: string;
  src_ip: string;
  src_port: number;
  dest_ip: string;
  dest_port: number;
  proto: string;
}

export interface Sample extends Tuple {
  at: string;
  app: string;
  confidence: number;
  model: string;
  name: string;
  payload: number;
}

export interface Label {
  id: number;
  app: string;
  group: number;
  port: number;
  flows: number;
  openings: number;
  was: string;
  example: Tuple;
  note: string;
  who: string;
  at: string;
}

export interface Model {
  name: string;
  version: string;
  kind: string;
  profile: string;
  created: string | null;
  labels: number;
  features: string;
  live: boolean;
  in_use: boolean;
  fault: string;
}

export const base = "/api/v1";

export type Params = Record<string, string | number | boolean | undefined | null>;

// url is the address of an operation; parameters without a value are left out.
export function url(path: string, params: Params = {}): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) q.set(name, String(value));
  }
  const text = q.toString();
  return base + path + (text ? "?" + text : "");
}

async function answer<T>(r: Response): Promise<T> {
  if (r.status === 401) throw new Error("this browser is not let in any more: open a new link (see the docs on the dashboard)");
  if (r.status === 204) return undefined as T;
  const data: unknown = await r.json();
  if (!r.ok) throw new Error((data as { error?: string }).error ?? `status ${r.status}`);
  return data as T;
}

export async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  return answer<T>(await fetch(url(path, params), { signal: signal ?? null }));
}

export async function post<T>(path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method: "POST" };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  return answer<T>(await fetch(url(path), init));
}

export async function remove(path: string): Promise<void> {
  await answer<void>(await fetch(url(path), { method: "DELETE" }));
}
