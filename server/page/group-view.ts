import { numberText, type PanelData } from "@noisescale/charts";
import type { RunSummary, Series, Snapshot } from "@noisescale/protocol";
import { fetchRuns, fetchSeries, fetchSnapshot } from "./collector-api.ts";
import { element } from "./element.ts";
import { GroupFrontierCard } from "./group-frontier-card.ts";
import { showNothing } from "./nothing-here.ts";
import { PanelCard } from "./panel-card.ts";
import { runPath } from "./place.ts";
import { poll } from "./poll.ts";
import { firstOrder, orderRuns } from "./run-list-order.ts";
import { noiseScaleWords } from "./run-list-row.ts";
import { stateMark } from "./run-state.ts";
import type { View } from "./view.ts";

/** More lines than this cannot be told apart: the latest are drawn. */
const overlaidRuns = 12;

interface Member {
  readonly summary: RunSummary;
  readonly series: Series;
}

/** The runs of a group, one in colour and the others behind it. */
export function showGroup(view: View, group: string): void {
  const { main, trail, banner, signal } = view;
  document.title = `${group} · noisescale`;
  trail.replaceChildren(element("a", { href: "/" }, "All runs"));
  const card = new PanelCard("noise-scale", signal);
  const frontier = new GroupFrontierCard(group, signal);
  const facts = element("p", { class: "facts" });
  const body = element("tbody");
  const read = new Map<string, Member>();
  let inFront: string | undefined;
  let summaries: readonly RunSummary[] = [];
  let snapshot: Snapshot | undefined;
  let drawn = "";

  const draw = (): void => {
    const front = inFront === undefined ? undefined : read.get(inFront);
    if (front === undefined || snapshot === undefined) return;
    const others = summaries.filter(({ run }) => run !== inFront).flatMap(({ run }) => read.get(run) ?? []);
    const data: PanelData = {
      name: nameOf(front.summary),
      snapshot,
      series: front.series,
      overlay: others.map(({ summary, series }) => ({ name: nameOf(summary), series })),
    };
    card.show(data);
    const shown = JSON.stringify([summaries, inFront]);
    if (shown === drawn) return;
    drawn = shown;
    const focused = document.activeElement?.getAttribute("data-focus");
    body.replaceChildren(...summaries.map((summary) => memberRow(summary, summary.run === inFront, choose)));
    if (focused) body.querySelector<HTMLElement>(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
    const left = summaries.length > overlaidRuns ? `; the latest ${overlaidRuns} are drawn` : "";
    facts.textContent = `${summaries.length} ${summaries.length === 1 ? "run" : "runs"}${left}`;
  };

  const update = async (): Promise<void> => {
    const runs = (await fetchRuns(signal)).filter((run) => run.group === group);
    summaries = orderRuns(runs, firstOrder);
    if (!summaries.some(({ run }) => run === inFront)) inFront = summaries[0]?.run;
    if (inFront === undefined) return showNothing(view, `No run is in a group by the name ${group}.`);
    await Promise.all(
      summaries.slice(0, overlaidRuns).map(async (summary) => {
        const known = read.get(summary.run);
        if (known?.summary.measurements === summary.measurements) return;
        read.set(summary.run, { summary, series: await fetchSeries(summary.run, 0, signal) });
      }),
    );
    if (!read.has(inFront)) {
      const summary = summaries.find(({ run }) => run === inFront);
      if (summary !== undefined) read.set(inFront, { summary, series: await fetchSeries(inFront, 0, signal) });
    }
    snapshot = await fetchSnapshot(inFront, signal);
    if (!main.contains(card.node)) {
      main.replaceChildren(
        element("header", { class: "list-header" }, element("h1", {}, `Group ${group}`), facts),
        element("div", { class: "panels wide" }, card.node),
        element("div", { class: "card list" }, element("table", { class: "run-list members" }, memberHeading(), body)),
        frontier.node,
      );
    }
    draw();
    await frontier.begin(inFront, read.get(inFront)?.summary.project ?? "");
  };

  const refresh = async (): Promise<void> => {
    try {
      await update();
      if (!signal.aborted) banner.show(true);
    } catch {
      if (!signal.aborted) banner.show(false);
    }
  };

  const choose = (run: string): void => {
    inFront = run;
    void refresh();
  };

  poll(signal, refresh);
}

function nameOf({ name, run }: RunSummary): string {
  return name ?? run;
}

function memberHeading(): HTMLElement {
  const words = ["In colour", "Run", "State"];
  const numbers = ["Step", "B_simple", "Batch now", "Recommended"];
  return element(
    "thead",
    {},
    element(
      "tr",
      {},
      ...words.map((column) => element("th", { scope: "col" }, column)),
      ...numbers.map((column) => element("th", { scope: "col", class: "number" }, column)),
    ),
  );
}

function memberRow(summary: RunSummary, inFront: boolean, choose: (run: string) => void): HTMLElement {
  const known = (value: number | null): string => (value === null ? "–" : numberText(value));
  const input = element("input", {
    type: "radio",
    name: "in-front",
    checked: inFront,
    "aria-label": `Draw ${nameOf(summary)} in colour`,
    "data-focus": `choose ${summary.run}`,
  });
  input.addEventListener("change", () => choose(summary.run));
  return element(
    "tr",
    { class: "members-row" },
    element("td", { class: "column-choose" }, input),
    element(
      "th",
      { scope: "row", class: "column-name" },
      element("a", { href: runPath(summary.run), "data-focus": `run ${summary.run}` }, nameOf(summary)),
    ),
    element("td", { class: "column-state" }, stateMark(summary.state)),
    element("td", { class: "column-step number" }, summary.step === null ? "–" : summary.step.toLocaleString("en-US")),
    element("td", { class: "column-b_simple number" }, noiseScaleWords(summary)),
    element("td", { class: "column-batch_size number" }, known(summary.batch_size)),
    element("td", { class: "column-recommended number" }, known(summary.recommended_batch_size)),
  );
}
