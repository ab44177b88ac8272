import type { Flow, Group } from "./api";
import { bytes, count, saveText, time } from "./format";
import { flowColumns } from "./flows";
import { useLive } from "./live";
import { rangeOf, Spans } from "./range";
import { change, follow, href, useView } from "./route";
import { Table } from "./table";
import { useGet } from "./use";

export function Unknown() {
  const live = useLive();
  const { query } = useView();
  const range = rangeOf(query, live.now);
  const asked = { since: range.since, until: range.until };
  const found = useGet<{ by: string; groups: Group[]; flows: number; more: boolean }>("/unknown", asked);
  const chosen = query.get("group");
  const one = found.data?.groups.find((g) => g.name === chosen);
  return (
    <>
      <Spans range={range} live={live} first="All" />
      {found.error && <p class="error">{found.error}</p>}
      <section class="panel">
        <p class="dim">
          Flows that lie far from everything in training, grouped by {found.data?.by ?? "…"}
          {found.data?.more && `; of the newest ${count(found.data.flows)}`}. The label is only what is nearest: a group that has a server and a port of its own is most likely an application that the model never saw.
        </p>
        <Table<Group>
          name="unknown"
          caption={`${count(found.data?.flows ?? 0)} flows in ${found.data?.groups.length ?? 0} groups`}
          rows={found.data?.groups ?? []}
          open={(g) => change({ group: g.name === chosen ? null : g.name }, true)}
          selected={(g) => g.name === chosen}
          empty={found.loading ? "Loading…" : "Every flow that ended is like something in training."}
          columns={[
            { head: "nearest", cell: (g) => <span class="app novel">{g.name || "no label"}</span>, value: (g) => g.name },
            { head: "flows", cell: (g) => count(g.flows), value: (g) => g.flows, right: true },
            { head: "packets", cell: (g) => count(g.packets), value: (g) => g.packets, right: true },
            { head: "payload", cell: (g) => bytes(g.payload_bytes), value: (g) => g.payload_bytes, right: true },
            { head: "clients", cell: (g) => count(g.clients), value: (g) => g.clients, right: true },
            { head: "servers", cell: (g) => g.servers.map((s) => s.name).join(", "), value: (g) => g.servers.map((s) => s.name).join(" "), wide: true },
            { head: "from", cell: (g) => time(g.first) },
            { head: "to", cell: (g) => time(g.last) },
          ]}
        />
      </section>
      {one && (
        <section class="panel">
          <h2>
            Nearest {one.name}: {count(one.flows)} flows{" "}
            <a href={href("/flows", { app: one.name, novel: "true", since: range.since, until: range.until })} onClick={follow}>
              search them
            </a>
          </h2>
          <p>
            {one.servers.map((s) => `${s.name} (${count(s.packets)} packets)`).join(", ")}{" "}
            <button type="button" class="quiet" onClick={() => saveText(`unknown-${one.name.replace(/[^\w.-]/g, "_")}.json`, JSON.stringify(one, null, 1), "application/json")}>
              JSON
            </button>
          </p>
          <Table<Flow> name="unknown-flows" caption="The newest flows of the group" rows={one.examples} columns={flowColumns} />
        </section>
      )}
    </>
  );
}
