import type { PanelData, PanelName } from "@noisescale/charts";
import type { PanelFile } from "@noisescale/tracker";

/** A panel as a file. What draws it is loaded when the first one is asked for. */
export async function drawPanel(
  panel: PanelName,
  data: PanelData,
  contentType: PanelFile["contentType"],
): Promise<Uint8Array> {
  if (contentType === "image/png") {
    const { renderPanelPng } = await import("@noisescale/charts/png");
    return renderPanelPng(panel, data);
  }
  const { renderPanelHtml } = await import("@noisescale/charts/html");
  return new TextEncoder().encode(renderPanelHtml([panel], data));
}
