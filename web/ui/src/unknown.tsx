import type { Group, Part, Sample } from "./api";
import { bytes, count, percent, saveText, time } from "./format";
import { endpoint } from "./flows";
import { Labels, NameForm, useLabels } from "./labels";
import { useLive } from "./live";
import { rangeOf, Spans } from "./range";
import { change, useView } from "./route";
import { Table } from "./table";
import { useGet } from "./use";

const names = (parts: Part[]): string => parts.map((p) => p.name).join(", ");

export function Unknown() {
  const live = useLive();
  const { query } = useView();
  const range = rangeOf(query, live.now);
  const labels = useLabels();
  const tick = `${labels.tick} ${live.stats?.novel_flows ?? 0}`;
  const found = useGet<{ groups: Group[]; flows: number }>("/unknown", { since: range.since, until: range.until }, tick);
  const chosen = query.get("group");
  const one = found.data?.groups.find((g) => String(g.id) === chosen);
  const flows = useGet<{ examples: Sample[] }>(one ? `/unknown/${one.id}` : "", {}, tick);
  return (
    <>
      <Spans range={range} live={live} first="All" />
      {found.error && <p class="error">{found.error}</p>}
      <section class="panel">
        <p class="dim">
          Flows that lie far from everything in training, in groups of those that the packet network (CNN) sees as alike. The nearest application is only what is most similar. Choose a group to name it: what is named can be learned.
        </p>
        <Table<Group>
          name="unknown"
          caption={`${count(found.data?.flows ?? 0)} flows in ${found.data?.groups.length ?? 0} groups`}
          rows={found.data?.groups ?? []}
          open={(g) => change({ group: String(g.id) === chosen ? null : g.id }, true)}
          selected={(g) => String(g.id) === chosen}
          empty={found.loading ? "Loading…" : "No flow is kept that is unlike everything in training (weir run keeps them with a model of applications and a history)."}
          columns={[
            { head: "group", cell: (g) => g.id, value: (g) => g.id },
            { head: "named", cell: (g) => <span class="app">{g.names.join(", ")}</span>, value: (g) => g.names.join(", ") },
            { head: "flows", cell: (g) => count(g.flows), value: (g) => g.flows, right: true },
            { head: "unnamed", cell: (g) => count(g.unnamed), value: (g) => g.unnamed, right: true },
            { head: "clients", cell: (g) => count(g.clients), value: (g) => g.clients, right: true },
            { head: "servers", cell: (g) => names(g.servers), wide: true },
            { head: "nearest", cell: (g) => <span class="app novel">{g.nearest[0]?.name ?? ""}</span>, value: (g) => g.nearest[0]?.name ?? "" },
            { head: "similar", cell: (g) => (g.similarity ? g.similarity.toFixed(2) : "–"), value: (g) => g.similarity, right: true },
            { head: "from", cell: (g) => time(g.first) },
            { head: "to", cell: (g) => time(g.last) },
          ]}
        />
      </section>
      {one && (
        <section class="panel">
          <h2>Group {one.id}</h2>
          <NameForm path={`/unknown/${one.id}/label`} what={`Its ${count(one.unnamed)} unnamed flows are`} ports={one.ports} named={one.unnamed === 0} />
          <dl class="facts">
            <dt>Ports</dt>
            <dd>{one.ports.map((p) => `${p.name} (${count(p.flows)} flows)`).join(", ")}</dd>
            <dt>Nearest applications</dt>
            <dd>{one.nearest.map((p) => `${p.name} (${percent(p.flows / one.flows)})`).join(", ")}</dd>
            <dt>Alike</dt>
            <dd>
              by {one.limit.toFixed(2)} or more to the first flow of the group, as {one.model} sees them
            </dd>
            <dt>Kept to learn from</dt>
            <dd>
              {bytes(one.payload_bytes)} of payload{" "}
              <button type="button" class="quiet" onClick={() => saveText(`unknown-${one.id}.json`, JSON.stringify(one, null, 1), "application/json")}>
                JSON
              </button>
            </dd>
          </dl>
          <Table<Sample>
            name="unknown-flows"
            caption="The newest flows of the group"
            rows={flows.data?.examples ?? []}
            empty={flows.error || "Loading…"}
            columns={[
              { head: "decided, UTC", cell: (s) => time(s.at, true) },
              { head: "from", cell: (s) => endpoint(s.src_ip, s.src_port) },
              { head: "to", cell: (s) => endpoint(s.dest_ip, s.dest_port) },
              { head: "proto", cell: (s) => s.proto },
              { head: "labelled", cell: (s) => <span class="app novel">{s.app}</span>, value: (s) => s.app },
              { head: "sure", cell: (s) => percent(s.confidence), value: (s) => s.confidence, right: true },
              { head: "named", cell: (s) => s.name },
              { head: "kept", cell: (s) => bytes(s.payload), value: (s) => s.payload, right: true },
            ]}
          />
        </section>
      )}
      <Labels />
    </>
  );
}
