import type { RunSummary } from "@noisescale/protocol";
import { fetchRuns } from "./collector-api.ts";
import { element } from "./element.ts";
import { howToBegin } from "./how-to-begin.ts";
import { poll } from "./poll.ts";
import { firstOrder, groupRuns, type Order, orderRuns, type SortKey } from "./run-list-order.ts";
import { groupHeading, runListRow } from "./run-list-row.ts";
import type { View } from "./view.ts";

const columns: readonly { readonly key: SortKey; readonly title: string; readonly number?: true }[] = [
  { key: "name", title: "Run" },
  { key: "state", title: "State" },
  { key: "step", title: "Step", number: true },
  { key: "b_simple", title: "B_simple" },
  { key: "batch_size", title: "Batch now → recommended" },
  { key: "time", title: "Last measurement" },
  { key: "alert", title: "Alert" },
];

/** A group with more runs than this is folded until it is opened. */
const openGroupRuns = 5;

/** All runs, the latest first; a row a run, groups folded together. */
export function showRunList({ main, banner, signal }: View): void {
  document.title = "Runs · noisescale";
  let runs: readonly RunSummary[] | undefined;
  let order: Order = firstOrder;
  let shown = "";
  const folded = new Map<string, boolean>();

  const draw = (): void => {
    if (runs === undefined) return;
    const content = JSON.stringify([runs, order, [...folded], Math.floor(Date.now() / 10_000)]);
    if (content === shown) return;
    shown = content;
    const focused = document.activeElement?.getAttribute("data-focus");
    main.replaceChildren(...(runs.length === 0 ? [howToBegin(location.origin)] : runTable(runs)));
    if (focused !== null && focused !== undefined) {
      main.querySelector<HTMLElement>(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
  };

  const runTable = (all: readonly RunSummary[]): HTMLElement[] => {
    const states = Map.groupBy(all, ({ state }) => state);
    const going = (["live", "silent"] as const).flatMap((state) => {
      const count = states.get(state)?.length ?? 0;
      return count === 0 ? [] : [`${count} ${state}`];
    });
    const count = [`${all.length.toLocaleString("en-US")} ${all.length === 1 ? "run" : "runs"}`, ...going].join(", ");
    const bodies = groupRuns(orderRuns(all, order)).map(({ group, runs: members }) => {
      if (group === undefined || members.length === 1) return element("tbody", {}, ...members.map(runListRow));
      const isFolded = folded.get(group) ?? members.length > openGroupRuns;
      const heading = groupHeading(group, members, isFolded, columns.length + 1, () => {
        folded.set(group, !isFolded);
        draw();
      });
      return element("tbody", { class: "group" }, heading, ...(isFolded ? [] : members.map(runListRow)));
    });
    return [
      element(
        "header",
        { class: "list-header" },
        element("h1", {}, "Runs"),
        element("p", { class: "facts" }, count, " · ", element("a", { href: "/alerts" }, "All alerts")),
      ),
      element(
        "div",
        { class: "card list" },
        element("table", { class: "run-list" }, element("thead", {}, tableHeading()), ...bodies),
      ),
    ];
  };

  const tableHeading = (): HTMLElement => {
    const cells = columns.map(({ key, title, number }) => {
      const current = order.key === key;
      const button = element("button", { type: "button", "data-focus": `sort ${key}` }, title);
      button.addEventListener("click", () => {
        order = { key, descending: current ? !order.descending : key !== "name" && key !== "state" };
        draw();
      });
      return element(
        "th",
        {
          scope: "col",
          class: `column-${key}${number ? " number" : ""}`,
          "aria-sort": current ? (order.descending ? "descending" : "ascending") : undefined,
        },
        button,
      );
    });
    return element("tr", {}, ...cells, element("th", { scope: "col", class: "column-trackers" }, "Tracker"));
  };

  poll(signal, async () => {
    try {
      runs = await fetchRuns(signal);
      banner.show(true);
    } catch {
      if (!signal.aborted) banner.show(false);
    }
    if (!signal.aborted) draw();
  });
}
