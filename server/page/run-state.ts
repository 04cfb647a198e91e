import type { RunSummary } from "@noisescale/protocol";
import { element, setText } from "./element.ts";

/** What a state's word does not say by itself. */
const explained: Readonly<Partial<Record<RunSummary["state"], string>>> = {
  silent: "No measurement has come for longer than this run's own pauses explain, and its end was not reported.",
};

/** The state of a run as a word with a mark of its own shape, so that colour is not all that tells them apart. */
export function stateMark(state: RunSummary["state"]): HTMLElement {
  const node = element("span", { class: "state" });
  showState(node, state);
  return node;
}

export function showState(node: HTMLElement, state: RunSummary["state"]): void {
  if (node.dataset["state"] !== state) node.dataset["state"] = state;
  node.title = explained[state] ?? "";
  setText(node, state);
}
