import { loadImage } from "@napi-rs/canvas";
import { describe, expect, it } from "vitest";
import { darkTheme, panelNames } from "../src/index.ts";
import { renderPanelPng } from "../src/png.ts";
import { data, hostileName, longRun, unmeasured } from "./panel-fixture.ts";
import { colours } from "./picture-colours.ts";

describe("picture of a panel", () => {
  it.each(panelNames)("%s has twice the pixels of its size, and is not blank", async (panel) => {
    const picture = await loadImage(Buffer.from(renderPanelPng(panel, longRun)));
    expect([picture.width, picture.height]).toEqual([1440, 880]);
    const found = colours(picture);
    expect(found.has("0a66c8") || found.has("bf4d00")).toBe(true);
    expect(found.get("ffffff")).toBeGreaterThan(0.5 * 1440 * 880);
  });

  it("is dark where a dark theme is asked for, in the size that is asked for", async () => {
    const options = { theme: darkTheme, width: 400, height: 300, pixelRatio: 1 };
    const picture = await loadImage(Buffer.from(renderPanelPng("trade", data, options)));
    expect([picture.width, picture.height]).toEqual([400, 300]);
    expect(colours(picture).get("171b21")).toBeGreaterThan(0.5 * 400 * 300);
  });

  it("writes the reason where there is nothing to draw", async () => {
    const empty = { name: hostileName, snapshot: unmeasured, series: { step: [], columns: {} } };
    const picture = await loadImage(Buffer.from(renderPanelPng("noise-scale", empty)));
    const found = colours(picture);
    expect(found.size).toBeGreaterThan(1);
    expect(found.has("0a66c8")).toBe(false);
  });

  it("is the same, byte for byte, when it is drawn again", () => {
    expect(renderPanelPng("frontier", data)).toEqual(renderPanelPng("frontier", data));
  });
});
