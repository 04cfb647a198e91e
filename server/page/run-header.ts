import { headline, numberText } from "@noisescale/charts";
import { ageText } from "./age-text.ts";
import { element, linkOrText, setText } from "./element.ts";
import type { RunNow } from "./live-run.ts";
import { groupPath } from "./place.ts";
import { showState, stateMark } from "./run-state.ts";

/** A run is quiet when nothing came for this long [ms]; a step may take seconds. */
const quietMs = 60_000;

/** Name, state and trackers of a run, and the sentence of what to do. */
export class RunHeader {
  readonly node: HTMLElement;
  readonly #name = element("p", { class: "run-name" });
  readonly #facts = element("p", { class: "facts" });
  readonly #state = stateMark("live");
  readonly #links = element("p", { class: "tracker-links" });
  readonly #sentence = element("h1", { class: "headline" });
  readonly #basis = element("p", { class: "basis" });
  #linksShown = "";
  #now: RunNow | undefined;

  constructor(signal: AbortSignal) {
    this.node = element(
      "header",
      { class: "run-header" },
      element("div", { class: "run-title" }, this.#name, this.#state, this.#facts, this.#links),
      element("div", { class: "verdict" }, this.#sentence, this.#basis),
    );
    const timer = setInterval(() => this.#showFacts(), 5000);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  /** @returns the sentence */
  show(now: RunNow): string {
    this.#now = now;
    const { detail, snapshot } = now;
    const name = detail.name ?? detail.run;
    setText(this.#name, name);
    document.title = `${name} · noisescale`;
    showState(this.#state, detail.state);
    this.#showFacts();
    this.#showLinks();
    const { sentence, basis } = headline(snapshot);
    setText(this.#sentence, sentence);
    setText(this.#basis, basis);
    return sentence;
  }

  #showFacts(): void {
    if (this.#now === undefined) return;
    const { detail, snapshot } = this.#now;
    const ageMs = snapshot.time_ms === null ? undefined : Date.now() - snapshot.time_ms;
    const old = ageMs !== undefined && (detail.state !== "live" || ageMs > quietMs);
    const facts = [
      detail.project,
      snapshot.step === null ? undefined : `step ${snapshot.step.toLocaleString("en-US")}`,
      snapshot.batch_size === null ? undefined : `batch ${numberText(snapshot.batch_size)}`,
      old ? `last measurement ${ageText(ageMs)}` : undefined,
    ];
    setText(this.#facts, facts.filter((fact) => fact !== undefined).join(" · "));
  }

  #showLinks(): void {
    if (this.#now === undefined) return;
    const { trackers, group } = this.#now.detail;
    const shown = JSON.stringify([group, trackers.map(({ name, url }) => [name, url])]);
    if (shown === this.#linksShown) return;
    this.#linksShown = shown;
    const links = trackers.filter(({ url }) => url !== null).map(({ name, url }) => linkOrText(`Open in ${name}`, url));
    if (group !== null) links.unshift(element("a", { href: groupPath(group) }, `Group ${group}`));
    this.#links.replaceChildren(...links);
  }
}
