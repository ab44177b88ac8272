import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Alerts } from "./alerts";
import type { Status } from "./api";
import { Flows } from "./flows";
import { Learn } from "./learn";
import { useLive } from "./live";
import { Models } from "./models";
import { Now } from "./now";
import { follow, go, useView } from "./route";
import "./style.css";
import { modal, setTheme, useGet, useKey, useTheme } from "./use";
import { Unknown } from "./unknown";

const pages: [path: string, name: string][] = [
  ["/", "Now"],
  ["/alerts", "Alerts"],
  ["/flows", "Flows"],
  ["/unknown", "Unknown"],
  ["/models", "Models"],
  ["/learn", "Learn"],
];

const keys: [string, string][] = [
  ["1 – 6", "pages"],
  ["j, k", "next and previous incident"],
  ["c, d, o", "confirm, dismiss, reopen the incident"],
  ["n, x", "note on the incident, exclude"],
  ["n", "name the group or the flow that is open"],
  ["/, r", "search flows, and search anew"],
  ["Enter", "open a row that has the focus"],
  ["← →", "move a chart that has the focus"],
  ["+ −", "zoom a chart that has the focus"],
  ["0, Esc", "show all, close the incident"],
  ["t", "dark or light"],
  ["?", "this"],
];

function App() {
  const { page } = useView();
  const theme = useTheme();
  const live = useLive();
  const [minute, setMinute] = useState(0);
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const status = useGet<Status>("/status", {}, `${minute}${live.ended}${live.connected}`);
  useEffect(() => {
    const timer = setInterval(() => setMinute((n) => n + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  const name = pages.find(([path]) => path === page)?.[1] ?? "Now";
  useEffect(() => {
    document.title = `${name} – weir`;
  }, [name]);
  const flip = () => setTheme(theme === "dark" ? "light" : "dark");
  useKey({
    ...Object.fromEntries(pages.map(([path], i) => [String(i + 1), () => go(path)])),
    t: flip,
    "?": () => setHelp(true),
  });
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), main.current?.focus())}>
        To the content
      </a>
      <header>
        <strong class="name">weir</strong>
        <nav aria-label="Pages">
          {pages.map(([path, label], i) => (
            <a href={path} onClick={follow} aria-current={path === page ? "page" : undefined} title={`key ${i + 1}`}>
              {label}
              {path === "/alerts" && live.alerts.length > 0 && <span class="number">{live.alerts.length}</span>}
            </a>
          ))}
        </nav>
        <span class="grow" />
        <span class={`state ${live.connected ? "good" : "bad"}`} role="status">
          {live.connected ? (live.ended ? "all is read" : "live") : "no connection"}
        </span>
        <button type="button" class="quiet" onClick={() => setHelp(true)} aria-label="Keys">
          ?
        </button>
        <button type="button" class="quiet" onClick={flip} aria-label="Dark or light">
          {theme === "dark" ? "Light" : "Dark"}
        </button>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {page === "/alerts" ? <Alerts status={status.data} /> : page === "/flows" ? <Flows /> : page === "/unknown" ? <Unknown /> : page === "/models" ? <Models /> : page === "/learn" ? <Learn /> : <Now status={status.data} />}
      </main>
      <footer class="dim">weir {status.data?.version}; times are UTC</footer>
      {help && (
        <dialog ref={modal} onClose={() => setHelp(false)}>
          <h2>Keys</h2>
          <dl class="facts">
            {keys.map(([key, what]) => (
              <>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{what}</dd>
              </>
            ))}
          </dl>
          <button type="button" onClick={() => setHelp(false)}>
            Close
          </button>
        </dialog>
      )}
    </>
  );
}

const root = document.getElementById("app");
if (root) render(<App />, root);
