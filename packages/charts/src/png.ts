import { createRequire } from "node:module";
import { createCanvas, GlobalFonts } from "@napi-rs/canvas";
import { Chart } from "./chart.ts";
import type { PanelData } from "./panel-data.ts";
import { fontFamily } from "./panel-frame.ts";
import { type PanelName, panelConfiguration, panelMissing, panelSubtitle, panelTitle } from "./panels.ts";
import { lightTheme, type Theme } from "./theme.ts";

const require = createRequire(import.meta.url);
// The same letters on every machine, those without any font included.
for (const weight of ["Regular", "SemiBold"]) {
  GlobalFonts.registerFromPath(require.resolve(`inter-ui/web/Inter-${weight}.woff2`), "Inter");
}

export interface PictureOptions {
  readonly theme?: Theme;
  /** [CSS pixels] */
  readonly width?: number;
  /** [CSS pixels] */
  readonly height?: number;
  /** Pixels of the picture a CSS pixel. */
  readonly pixelRatio?: number;
}

const header = 62;
const padding = 16;

/** A panel as a PNG with its title; 720 × 440 CSS pixels at twice the pixels unless said otherwise. */
export function renderPanelPng(panel: PanelName, data: PanelData, options: PictureOptions = {}): Uint8Array {
  const { theme = lightTheme, width = 720, height = 440, pixelRatio = 2 } = options;
  const picture = createCanvas(width * pixelRatio, height * pixelRatio);
  const context = picture.getContext("2d");
  context.scale(pixelRatio, pixelRatio);
  context.fillStyle = theme.background;
  context.fillRect(0, 0, width, height);
  context.textBaseline = "top";
  context.fillStyle = theme.ink;
  context.font = `600 16px ${fontFamily}`;
  context.fillText(`${panelTitle(panel)} · ${data.name}`, padding, 14, width - 2 * padding);
  context.fillStyle = theme.muted;
  context.font = `400 12px ${fontFamily}`;
  const missing = panelMissing(panel, data);
  context.fillText(missing ?? panelSubtitle(panel, data), padding, 37, width - 2 * padding);
  if (missing === undefined) {
    const [chartWidth, chartHeight] = [width - padding, height - header - 6];
    const canvas = createCanvas(chartWidth, chartHeight);
    const configuration = panelConfiguration(panel, data, theme);
    const chart = new Chart(canvas as unknown as HTMLCanvasElement, {
      ...configuration,
      options: { ...configuration.options, responsive: false, devicePixelRatio: pixelRatio },
    });
    context.drawImage(canvas, padding / 2, header, chartWidth, chartHeight);
    chart.destroy();
  }
  return picture.toBuffer("image/png");
}
