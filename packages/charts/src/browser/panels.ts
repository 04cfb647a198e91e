import { Chart } from "../chart.ts";
import type { PanelData } from "../panel-data.ts";
import { isPanelName, panelConfiguration } from "../panels.ts";
import { darkTheme, lightTheme } from "../theme.ts";

/** Draws the panels of a page that stands alone, in the colours that the reader prefers. */
const dark = matchMedia("(prefers-color-scheme: dark)");
const data: PanelData = JSON.parse(document.getElementById("panel-data")?.textContent ?? "null");
let charts: Chart[] = [];

function draw(): void {
  for (const chart of charts) chart.destroy();
  charts = [...document.querySelectorAll("canvas")].flatMap((canvas) => {
    const panel = canvas.dataset["panel"] ?? "";
    if (!isPanelName(panel)) return [];
    return [new Chart(canvas, panelConfiguration(panel, data, dark.matches ? darkTheme : lightTheme))];
  });
}

dark.addEventListener("change", draw);
draw();
