import { Chart } from "../chart.ts";
import type { PanelData } from "../panel-data.ts";
import { isPanelName, panelConfiguration } from "../panels.ts";
import type { SweepData } from "../sweep-data.ts";
import { isSweepPanelName, sweepPanels } from "../sweep-panels.ts";
import { darkTheme, lightTheme } from "../theme.ts";

/** Draws the panels of a page that stands alone, in the colours that the reader prefers. */
const dark = matchMedia("(prefers-color-scheme: dark)");
const run: PanelData | null = contentOf("panel-data");
const sweep: SweepData | null = contentOf("sweep-data");
let charts: Chart[] = [];

function draw(): void {
  for (const chart of charts) chart.destroy();
  charts = [...document.querySelectorAll("canvas")].flatMap((canvas) => {
    const panel = canvas.dataset["panel"] ?? "";
    const theme = dark.matches ? darkTheme : lightTheme;
    if (run !== null && isPanelName(panel)) return [new Chart(canvas, panelConfiguration(panel, run, theme))];
    if (sweep !== null && isSweepPanelName(panel)) {
      return [new Chart(canvas, sweepPanels[panel].configuration(sweep, theme))];
    }
    return [];
  });
}

/** Content of an element that the page may hold. */
function contentOf<Data>(element: string): Data | null {
  return JSON.parse(document.getElementById(element)?.textContent ?? "null");
}

dark.addEventListener("change", draw);
draw();
