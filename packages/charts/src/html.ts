import { headline } from "./headline.ts";
import type { PanelData } from "./panel-data.ts";
import { type PanelName, panelMissing, panelSubtitle, panelText, panelTitle } from "./panels.ts";
import { renderStandalonePage } from "./standalone-page.ts";
import type { SweepData } from "./sweep-data.ts";
import { panelsOfSweep, sweepHeadline, sweepPanels } from "./sweep-panels.ts";

/**
 * Panels of a run as one HTML page with script and data inside. Names are text, never markup.
 *
 * @throws Error where the script was not bundled
 */
export function renderPanelHtml(panels: readonly PanelName[], data: PanelData): string {
  const { sentence, basis } = headline(data.snapshot);
  return renderStandalonePage({
    name: data.name,
    headline: sentence,
    basis,
    panels: panels.map((panel) => ({
      panel,
      title: panelTitle(panel),
      subtitle: panelSubtitle(panel, data),
      text: panelText(panel, data),
      missing: panelMissing(panel, data),
    })),
    data: { element: "panel-data", content: data },
  });
}

/**
 * Panels of a sweep as one HTML page with script and data inside. Names are text, never markup.
 *
 * @throws Error where the script was not bundled
 */
export function renderSweepHtml(data: SweepData): string {
  const { sentence, basis } = sweepHeadline(data);
  return renderStandalonePage({
    name: data.name,
    headline: sentence,
    basis,
    panels: panelsOfSweep(data).map((panel) => {
      const { title, subtitle, text } = sweepPanels[panel];
      return { panel, title, subtitle, text: text(data), missing: undefined };
    }),
    data: { element: "sweep-data", content: data },
  });
}
