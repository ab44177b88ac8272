// State that several pages need: answers of the API, the theme, keys.
import { useEffect, useState } from "preact/hooks";
import { get, type Params } from "./api";

export interface Answer<T> {
  data: T | undefined; // the last one, also while the next is awaited
  error: string;
  loading: boolean;
  again: () => void;
}

// useGet asks the API, and again when what is asked changes. An empty path asks nothing.
export function useGet<T>(path: string, params: Params = {}, tick: unknown = 0): Answer<T> {
  const [state, set] = useState<{ data: T | undefined; error: string; loading: boolean; of: string }>({ data: undefined, error: "", loading: true, of: "" });
  const [turn, setTurn] = useState(0);
  const key = path + JSON.stringify(params);
  useEffect(() => {
    if (!path) return;
    const stop = new AbortController();
    set((s) => ({ ...s, data: s.of === path ? s.data : undefined, loading: true }));
    get<T>(path, params, stop.signal)
      .then((data) => set({ data, error: "", loading: false, of: path }))
      .catch((e: Error) => {
        if (!stop.signal.aborted) set((s) => ({ ...s, error: e.message, loading: false }));
      });
    return () => stop.abort();
  }, [key, tick, turn]);
  return { ...state, again: () => setTurn((n) => n + 1) };
}

// The theme is the system's until it is chosen.
export type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const themes = new EventTarget();
system.addEventListener("change", tell);

export function theme(): Theme {
  const chosen = localStorage.getItem("theme");
  return chosen === "light" || chosen === "dark" ? chosen : system.matches ? "dark" : "light";
}

export function setTheme(t: Theme): void {
  localStorage.setItem("theme", t);
  tell();
}

// tell has the style sheet take the theme before anybody asks for a color of it.
function tell(): void {
  document.documentElement.dataset.theme = theme();
  themes.dispatchEvent(new Event("change"));
}
tell();

export function useTheme(): Theme {
  const [now, set] = useState(theme);
  useEffect(() => {
    const update = () => set(theme());
    themes.addEventListener("change", update);
    return () => themes.removeEventListener("change", update);
  }, []);
  return now;
}

// color is a colour of the style sheet, for what is not drawn by it.
export const color = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// useKey calls f for a key that is pressed where nothing is being written.
export function useKey(keys: Record<string, () => void>): void {
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      const at = e.target as HTMLElement;
      if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName) || document.querySelector("dialog[open]")) return;
      if (at.closest(".chart") && /^(Arrow|[+\-0]$)/.test(e.key)) return;
      const f = keys[e.key];
      if (f) {
        e.preventDefault();
        f();
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
}

// modal shows a dialog as soon as it is there.
export function modal(d: HTMLDialogElement | null): void {
  if (d && !d.open) d.showModal();
}
