import type { RunSummary } from "@noisescale/protocol";
import { element, setText } from "./element.ts";

const words: Readonly<Record<RunSummary["state"], string>> = { live: "live", finished: "finished", failed: "failed" };

/** The state of a run as a word with a mark of its own shape, so that colour is not all that tells them apart. */
export function stateMark(state: RunSummary["state"]): HTMLElement {
  const node = element("span", { class: "state" });
  showState(node, state);
  return node;
}

export function showState(node: HTMLElement, state: RunSummary["state"]): void {
  if (node.dataset["state"] !== state) node.dataset["state"] = state;
  setText(node, words[state]);
}
