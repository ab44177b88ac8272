// How numbers, times and names are shown, and how they leave the page. Names come from the wire: they are always text.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n: number): string => whole.format(n);

// short is a number in few characters: 1.2 k, 3.4 M.
export function short(n: number): string {
  for (const [unit, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]] as const) {
    if (Math.abs(n) >= size) return `${(n / size).toPrecision(3)} ${unit}`;
  }
  return plain(n);
}

export const bytes = (n: number): string => `${short(n)}B`.replace(/(\d)B$/, "$1 B");

// plain is a number with three digits that count.
export function plain(n: number): string {
  if (n === 0 || !Number.isFinite(n)) return String(n);
  if (Number.isInteger(n) && Math.abs(n) < 1e6) return count(n);
  const a = Math.abs(n);
  if (a >= 100) return count(n);
  return a >= 0.001 ? String(Number(n.toPrecision(3))) : n.toExponential(1);
}

export const percent = (part: number): string => `${plain(100 * part)} %`.replace(/(\d\d)\.\d+ %$/, "$1 %");

const pad = (n: number, digits = 2): string => String(n).padStart(digits, "0");

// time is a time in UTC, as the command line shows it.
export function time(seconds: number | string, millis = false): string {
  const t = typeof seconds === "string" ? new Date(seconds) : new Date(seconds * 1000);
  if (Number.isNaN(t.getTime())) return "";
  const text = `${t.getUTCFullYear()}-${pad(t.getUTCMonth() + 1)}-${pad(t.getUTCDate())} ${pad(t.getUTCHours())}:${pad(t.getUTCMinutes())}:${pad(t.getUTCSeconds())}`;
  return millis ? `${text}.${pad(t.getUTCMilliseconds(), 3)}` : text;
}

export const unix = (text: string): number => Date.parse(text) / 1000;

// parseTime reads a time in UTC as time shows it; undefined: it is none.
export function parseTime(text: string): number | undefined {
  const t = Date.parse(text.trim().replace(" ", "T").replace(/Z?$/, "Z"));
  return Number.isNaN(t) ? undefined : t / 1000;
}

export function duration(seconds: number): string {
  if (seconds < 1) return `${plain(seconds * 1000)} ms`;
  if (seconds < 120) return `${plain(seconds)} s`;
  if (seconds < 7200) return `${plain(seconds / 60)} min`;
  return seconds < 172800 ? `${plain(seconds / 3600)} h` : `${plain(seconds / 86400)} d`;
}

export const appName = (name: string, novel?: boolean): string => (name === "" ? "no label" : novel ? `novel, nearest ${name}` : name);

// csv makes a table of rows. What a spreadsheet would take for a formula stays text.
export function csv(head: string[], rows: (string | number | boolean | null)[][]): string {
  const cell = (v: string | number | boolean | null): string => {
    let text = v === null ? "" : String(v);
    if (typeof v === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

// save gives the user a file.
export function save(name: string, data: Blob): void {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(data);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000);
}

export const saveText = (name: string, text: string, type = "text/csv"): void => save(name, new Blob([text], { type: `${type};charset=utf-8` }));
