// Draws panels in a thread of its own: a picture takes tens of milliseconds, in which no measurement could be taken.
import { parentPort } from "node:worker_threads";
import { renderPanelHtml } from "@noisescale/charts/html";
import type { PanelAnswer, PanelRequest } from "./panel-renderer.ts";

parentPort?.on("message", async ({ id, panel, data, contentType, pixelRatio }: PanelRequest) => {
  let answer: PanelAnswer;
  try {
    answer = {
      id,
      bytes:
        contentType === "image/png"
          ? (await import("@noisescale/charts/png")).renderPanelPng(panel, data, { pixelRatio })
          : new TextEncoder().encode(renderPanelHtml([panel], data)),
    };
  } catch (error) {
    answer = { id, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer);
});
