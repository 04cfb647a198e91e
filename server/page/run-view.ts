import { type PanelName, panelNames, panelsOf } from "@noisescale/charts";
import { element } from "./element.ts";
import { Figures } from "./figures.ts";
import { LiveRun, type RunNow } from "./live-run.ts";
import { showNothing } from "./nothing-here.ts";
import { PanelCard } from "./panel-card.ts";
import { RunHeader } from "./run-header.ts";
import { RunRecords } from "./run-records.ts";
import type { View } from "./view.ts";

/** A run: what to do, what that rests on, five figures, the panels, all live. */
export function showRun(view: View, run: string): void {
  const { main, trail, banner, announcer, signal } = view;
  trail.replaceChildren(element("a", { href: "/" }, "All runs"));
  const header = new RunHeader(signal);
  const figures = new Figures();
  const records = new RunRecords();
  const cards = new Map<PanelName, PanelCard>(panelNames.map((panel) => [panel, new PanelCard(panel, signal, run)]));
  const panels = element("div", { class: "panels" }, ...[...cards.values()].map(({ node }) => node));
  let drawn = false;
  let wanted: RunNow | undefined;

  const draw = (): void => {
    const now = wanted;
    wanted = undefined;
    if (now === undefined || signal.aborted) return;
    if (!drawn) main.replaceChildren(header.node, figures.node, records.notes, panels, records.node);
    drawn = true;
    announcer.say(header.show(now));
    figures.show(now.snapshot);
    records.show(now);
    const { detail, snapshot, series } = now;
    const data = { name: detail.name ?? detail.run, snapshot, series, alerts: detail.alerts };
    const shown = new Set(panelsOf(data));
    for (const [panel, card] of cards) {
      card.node.hidden = !shown.has(panel);
      if (shown.has(panel)) card.show(data);
    }
  };

  new LiveRun(run, signal, {
    changed(now) {
      if (wanted === undefined) requestAnimationFrame(draw);
      wanted = now;
    },
    connected: (connected) => banner.show(connected),
    gone: () => showNothing(view, `The run ${run} was deleted.`),
    refused: (error) =>
      showNothing(
        view,
        error.status === 404
          ? `The collector knows no run by the name ${run} yet. It is shown here once it is declared.`
          : error.message,
      ),
  });
}
