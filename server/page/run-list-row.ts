import { estimateText, numberText } from "@noisescale/charts";
import type { RunSummary } from "@noisescale/protocol";
import { ageText } from "./age-text.ts";
import { ruleName, severityMark } from "./alert-words.ts";
import { element, linkOrText } from "./element.ts";
import { groupPath, runPath } from "./place.ts";
import { stateMark } from "./run-state.ts";
import { sparkLine } from "./spark-line.ts";

/** Batch sizes within this factor are about the same. */
const about = 1.25;

export function runListRow(run: RunSummary): HTMLElement {
  const name = run.name ?? run.run;
  return element(
    "tr",
    {},
    element(
      "th",
      { scope: "row", class: "column-name" },
      element("a", { href: runPath(run.run), "data-focus": `run ${run.run}` }, name),
      element(
        "span",
        { class: "remark" },
        run.name === null || run.name === run.run ? run.project : `${run.project} · ${run.run}`,
      ),
    ),
    element("td", { class: "column-state" }, stateMark(run.state)),
    element("td", { class: "column-step number" }, run.step === null ? "–" : run.step.toLocaleString("en-US")),
    element(
      "td",
      { class: "column-b_simple" },
      element("span", { class: "spark-cell" }, sparkLine(run.spark), element("span", {}, noiseScaleWords(run))),
    ),
    element("td", { class: "column-batch_size" }, batchWords(run)),
    element("td", { class: "column-time" }, run.time_ms === null ? "none yet" : ageText(Date.now() - run.time_ms)),
    element("td", { class: "column-alert" }, alertMark(run)),
    element("td", { class: "column-trackers" }, trackerLinks(run)),
  );
}

/** The heading of a group's rows: folds them, and leads to their overlay. */
export function groupHeading(
  group: string,
  runs: readonly RunSummary[],
  folded: boolean,
  columns: number,
  toggle: () => void,
): HTMLElement {
  const button = element(
    "button",
    { type: "button", class: "fold", "aria-expanded": String(!folded), "data-focus": `group ${group}` },
    group,
  );
  button.addEventListener("click", toggle);
  return element(
    "tr",
    { class: "group-heading" },
    element(
      "th",
      { scope: "rowgroup", colspan: String(columns) },
      button,
      element("span", { class: "remark" }, `${runs.length} runs`),
      element("a", { href: groupPath(group) }, "Overlay"),
    ),
  );
}

export function noiseScaleWords({ b_simple: value, b_simple_low: low }: RunSummary): string {
  if (value !== null) return estimateText(value);
  return low === null ? "–" : `≥ ${estimateText(low)}`;
}

function batchWords({ batch_size: batch, recommended_batch_size: recommended }: RunSummary): HTMLElement {
  const now = batch === null ? "–" : numberText(batch);
  if (batch === null || recommended === null) return element("span", {}, now);
  const ratio = recommended / batch;
  if (ratio < about && ratio > 1 / about) {
    return element("span", {}, now, element("span", { class: "remark" }, "about right"));
  }
  return element("span", {}, `${now} → `, element("strong", { class: "recommended" }, numberText(recommended)));
}

/** The gravest alert that lasts, as a mark with its rule; the whole sentence on the run's page. */
function alertMark({ alert }: RunSummary): HTMLElement | null {
  if (alert === null) return null;
  const mark = severityMark(alert.severity, ruleName(alert.rule));
  mark.title = alert.title;
  return mark;
}

function trackerLinks({ trackers }: RunSummary): HTMLElement {
  return element(
    "span",
    { class: "tracker-list" },
    ...trackers.map(({ name, url, state, message }) => {
      const link = linkOrText(name, url);
      link.classList.add("queue");
      link.dataset["queue"] = state;
      if (state !== "ok") link.title = message ?? state;
      return link;
    }),
  );
}
