import type { ComponentChildren } from "preact";
import { csv, saveText } from "./format";

export interface Column<T> {
  head: string;
  cell: (row: T) => ComponentChildren;
  value?: (row: T) => string | number | boolean | null; // for the export; without one, cell is text
  right?: boolean; // a number
  wide?: boolean; // takes what room there is
}

export interface TableProps<T> {
  name: string; // of the exported file
  caption: string;
  columns: Column<T>[];
  rows: T[];
  shown?: number; // rows drawn at most; the export has all
  open?: (row: T) => void;
  selected?: (row: T) => boolean;
  below?: (row: T) => ComponentChildren; // shown below a selected row
  empty?: string;
}

export function tableCSV<T>(columns: Column<T>[], rows: T[]): string {
  return csv(
    columns.map((c) => c.head),
    rows.map((row) => columns.map((c) => (c.value ? c.value(row) : String(c.cell(row) ?? "")))),
  );
}

// Table shows rows, which can be opened with a click or with Enter.
export function Table<T>(p: TableProps<T>) {
  const rows = p.shown ? p.rows.slice(0, p.shown) : p.rows;
  if (rows.length === 0) return <p class="empty">{p.empty ?? "There is nothing."}</p>;
  return (
    <div class="scroll">
      <table>
        <caption>
          {p.caption}
          {rows.length < p.rows.length && ` (${rows.length} of ${p.rows.length} shown)`}
          <button type="button" class="quiet" onClick={() => saveText(`${p.name}.csv`, tableCSV(p.columns, p.rows))}>
            CSV
          </button>
        </caption>
        <thead>
          <tr>
            {p.columns.map((c) => (
              <th scope="col" class={c.right ? "right" : ""}>
                {c.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const selected = p.selected?.(row) ?? false;
            const below = selected && p.below?.(row);
            return [
              <tr
                class={(p.open ? "opens " : "") + (selected ? "selected" : "")}
                tabIndex={p.open ? 0 : undefined}
                aria-selected={p.open ? selected : undefined}
                onClick={p.open && (() => p.open?.(row))}
                onKeyDown={p.open && ((e) => e.key === "Enter" && e.target === e.currentTarget && p.open?.(row))}
              >
                {p.columns.map((c) => (
                  <td class={(c.right ? "right " : "") + (c.wide ? "wide" : "")}>{c.cell(row)}</td>
                ))}
              </tr>,
              below && (
                <tr class="below">
                  <td colSpan={p.columns.length}>{below}</td>
                </tr>
              ),
            ];
          })}
        </tbody>
      </table>
    </div>
  );
}
