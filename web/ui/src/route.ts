// The URL is the view: its path the page, its parameters what the page shows.
import { useEffect, useState } from "preact/hooks";

export interface View {
  page: string;
  query: URLSearchParams;
}

const current = (): View => ({ page: location.pathname, query: new URLSearchParams(location.search) });

const changed = new EventTarget();
addEventListener("popstate", () => changed.dispatchEvent(new Event("change")));

export type Change = Record<string, string | number | undefined | null>;

// href is the address of a view.
export function href(page: string, params: Change = {}): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") q.set(name, String(value));
  }
  const text = q.toString();
  return page + (text ? "?" + text : "");
}

// go shows another view.
export function go(to: string, replace = false): void {
  if (to === location.pathname + location.search) return;
  const page = location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  if (location.pathname !== page) scrollTo(0, 0);
  changed.dispatchEvent(new Event("change"));
}

// change shows the same page with other parameters; those without a value go.
export function change(params: Change, replace = false): void {
  const all: Change = Object.fromEntries(new URLSearchParams(location.search));
  go(href(location.pathname, { ...all, ...params }), replace);
}

export function useView(): View {
  const [view, set] = useState(current);
  useEffect(() => {
    const update = () => set(current());
    changed.addEventListener("change", update);
    return () => changed.removeEventListener("change", update);
  }, []);
  return view;
}

// follow makes a link change the view without loading the page anew.
export function follow(e: MouseEvent): void {
  if (e.ctrlKey || e.metaKey || e.shiftKey || e.button !== 0) return;
  const a = e.currentTarget as HTMLAnchorElement;
  e.preventDefault();
  go(a.pathname + a.search);
}
