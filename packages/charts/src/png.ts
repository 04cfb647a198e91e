import type { PanelData } from "./panel-data.ts";
import { type PanelName, panelConfiguration, panelMissing, panelSubtitle, panelTitle } from "./panels.ts";
import { type PictureOptions, renderPicture } from "./picture.ts";
import type { SweepData } from "./sweep-data.ts";
import { type SweepPanelName, sweepPanels } from "./sweep-panels.ts";

export type { PictureOptions } from "./picture.ts";

/** A panel as a PNG with its title. */
export function renderPanelPng(panel: PanelName, data: PanelData, options: PictureOptions = {}): Uint8Array {
  const missing = panelMissing(panel, data);
  return renderPicture(
    {
      title: panelTitle(panel),
      name: data.name,
      subtitle: panelSubtitle(panel, data),
      content: missing === undefined ? { draw: (theme) => panelConfiguration(panel, data, theme) } : { missing },
    },
    options,
  );
}

/** A panel of a sweep as a PNG with its title. */
export function renderSweepPng(panel: SweepPanelName, data: SweepData, options: PictureOptions = {}): Uint8Array {
  const { title, subtitle, configuration } = sweepPanels[panel];
  return renderPicture(
    { title, name: data.name, subtitle, content: { draw: (theme) => configuration(data, theme) } },
    options,
  );
}
