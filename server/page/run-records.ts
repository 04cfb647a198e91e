import { headline } from "@noisescale/charts";
import { alertItem } from "./alerts-view.ts";
import { runAddress } from "./collector-api.ts";
import { element, linkOrText } from "./element.ts";
import type { RunNow } from "./live-run.ts";

const queueWords = {
  ok: "up to date",
  waiting: "waiting to be sent",
  retrying: "trying again",
  parked: "refused",
  in_process: "logged by the training itself",
} as const;

/** What stands below the panels: trackers, events, tags, the data itself. Rebuilt only when it differs. */
export class RunRecords {
  readonly node: HTMLElement = element("div", { class: "records" });
  readonly notes: HTMLElement = element("ul", { class: "notes", "aria-label": "What to know about these numbers" });
  #shown = "";
  #notesShown = "";

  show(now: RunNow): void {
    this.#showNotes(now);
    const { run, trackers, events, tags, alerts } = now.detail;
    const shown = JSON.stringify([run, trackers, events, tags, alerts]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.node.replaceChildren(
      ...[alertList(now), trackerTable(now), eventTable(now), tagList(now), dataLinks(now)].filter(
        (part) => part !== undefined,
      ),
    );
  }

  /** Warnings that the sentence on top does not hold already. */
  #showNotes({ snapshot }: RunNow): void {
    const { basis } = headline(snapshot);
    const notes = snapshot.warnings.filter(({ code, message }) => code !== "uncalibrated" && !basis.includes(message));
    const shown = JSON.stringify(notes);
    if (shown === this.#notesShown) return;
    this.#notesShown = shown;
    this.notes.replaceChildren(...notes.map(({ message }) => element("li", {}, message)));
  }
}

/** Those that last first, else the latest first. */
function alertList({ detail: { alerts } }: RunNow): HTMLElement | undefined {
  if (alerts.length === 0) return undefined;
  const order = [...alerts].reverse();
  const lasting = order.filter((alert) => alert.ended_step === null);
  const past = order.filter((alert) => alert.ended_step !== null);
  const items = [...lasting, ...past].map((alert) => alertItem(alert, true));
  return section("Alerts", element("ol", { class: "alert-list" }, ...items));
}

function trackerTable({ detail }: RunNow): HTMLElement | undefined {
  if (detail.trackers.length === 0) return undefined;
  const rows = detail.trackers.map(({ name, url, state, backlog, message }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, linkOrText(name, url)),
      element(
        "td",
        {},
        element("span", { class: "queue", "data-queue": state }, queueWords[state]),
        message === null ? null : element("span", { class: "remark" }, message),
      ),
      element("td", { class: "number" }, backlog === 0 ? "–" : backlog.toLocaleString("en-US")),
    ),
  );
  return section("Trackers", table(["Tracker", "State"], ["Waiting"], rows));
}

function eventTable({ detail }: RunNow): HTMLElement | undefined {
  if (detail.events.length === 0) return undefined;
  const rows = detail.events.map(({ kind, code, count, first_step: first, last_step: last }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, `${kind}: ${code}`),
      element("td", { class: "number" }, count.toLocaleString("en-US")),
      element(
        "td",
        { class: "number" },
        first === last
          ? first.toLocaleString("en-US")
          : `${first.toLocaleString("en-US")} – ${last.toLocaleString("en-US")}`,
      ),
    ),
  );
  return section("Reported by the hook", table(["Event"], ["Times", "Steps"], rows));
}

function tagList({ detail }: RunNow): HTMLElement | undefined {
  const tags = Object.entries(detail.tags);
  if (tags.length === 0) return undefined;
  return section(
    "Tags",
    element(
      "dl",
      { class: "tags" },
      ...tags.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
    ),
  );
}

function dataLinks({ detail: { run } }: RunNow): HTMLElement {
  const link = (rest: string, text: string) =>
    element("li", {}, element("a", { href: runAddress(run, rest), "data-leave": true }, text));
  return section(
    "The numbers",
    element(
      "ul",
      { class: "links" },
      link("/series.csv", "Every measurement as CSV"),
      link("/snapshot", "All that is known now as JSON: horizons and layers too"),
    ),
  );
}

function section(title: string, ...children: HTMLElement[]): HTMLElement {
  return element("section", { class: "record" }, element("h2", {}, title), ...children);
}

function table(words: readonly string[], numbers: readonly string[], rows: HTMLElement[]): HTMLElement {
  const heading = element(
    "tr",
    {},
    ...words.map((column) => element("th", { scope: "col" }, column)),
    ...numbers.map((column) => element("th", { scope: "col", class: "number" }, column)),
  );
  return element("table", {}, element("thead", {}, heading), element("tbody", {}, ...rows));
}
