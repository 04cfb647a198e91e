// Draws panels in a thread of its own: a picture takes tens of milliseconds, in which no measurement could be taken.
import { parentPort } from "node:worker_threads";
import { renderPanelHtml } from "@noisescale/charts/html";
import { renderPanelPng } from "@noisescale/charts/png";
import type { PanelAnswer, PanelRequest } from "./panel-renderer.ts";

parentPort?.on("message", ({ id, panel, data, contentType }: PanelRequest) => {
  let answer: PanelAnswer;
  try {
    const bytes =
      contentType === "image/png"
        ? renderPanelPng(panel, data)
        : new TextEncoder().encode(renderPanelHtml([panel], data));
    answer = { id, bytes };
  } catch (error) {
    answer = { id, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer);
});
