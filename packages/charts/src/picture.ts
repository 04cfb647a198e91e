import { createRequire } from "node:module";
import { createCanvas, GlobalFonts } from "@napi-rs/canvas";
import { Chart } from "./chart.ts";
import { fontFamily, type PanelConfiguration } from "./panel-frame.ts";
import { lightTheme, type Theme } from "./theme.ts";

const require = createRequire(import.meta.url);
// The same letters on every machine, those without any font included.
for (const file of [
  require.resolve("inter-ui/web/Inter-Regular.woff2"),
  require.resolve("inter-ui/web/Inter-SemiBold.woff2"),
]) {
  GlobalFonts.registerFromPath(file, "Inter");
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
const lineHeight = 21;

/** What stands in a picture. */
export interface Picture {
  readonly title: string;
  /** Free text; drawn as text only. */
  readonly name: string;
  readonly subtitle: string;
  readonly content: { readonly missing: string } | { readonly draw: (theme: Theme) => PanelConfiguration };
}

/** A PNG with a title; 720 × 440 CSS pixels at twice the pixels unless said otherwise. */
export function renderPicture({ title, name, subtitle, content }: Picture, options: PictureOptions = {}): Uint8Array {
  const { theme = lightTheme, width = 720, height = 440, pixelRatio = 2 } = options;
  const picture = createCanvas(width * pixelRatio, height * pixelRatio);
  const context = picture.getContext("2d");
  context.scale(pixelRatio, pixelRatio);
  context.fillStyle = theme.background;
  context.fillRect(0, 0, width, height);
  context.textBaseline = "top";
  context.fillStyle = theme.ink;
  context.font = `600 16px ${fontFamily}`;
  context.fillText(`${title} · ${name}`, padding, 14, width - 2 * padding);
  context.fillStyle = theme.muted;
  context.font = `400 12px ${fontFamily}`;
  context.fillText(subtitle, padding, 37, width - 2 * padding);
  if ("missing" in content) {
    context.font = `400 14px ${fontFamily}`;
    context.textAlign = "center";
    const lines = wrapped(content.missing, width * 0.7, (text) => context.measureText(text).width);
    const top = header + (height - header - lines.length * lineHeight) / 2;
    for (const [index, line] of lines.entries()) context.fillText(line, width / 2, top + index * lineHeight);
  } else {
    const [chartWidth, chartHeight] = [width - padding, height - header - 6];
    const canvas = createCanvas(chartWidth, chartHeight);
    const configuration = content.draw(theme);
    const chart = new Chart(canvas as unknown as HTMLCanvasElement, {
      ...configuration,
      options: { ...configuration.options, responsive: false, devicePixelRatio: pixelRatio },
    });
    context.drawImage(canvas, padding / 2, header, chartWidth, chartHeight);
    chart.destroy();
  }
  return picture.toBuffer("image/png");
}

/** A sentence in lines that are no wider than that. */
function wrapped(sentence: string, width: number, measure: (text: string) => number): string[] {
  const lines: string[] = [];
  for (const word of sentence.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && measure(`${line} ${word}`) <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
