import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCanvas } from "@napi-rs/canvas";
import { type Delivery, metricKey } from "@noisescale/tracker";
import { tensorboardTracker } from "@noisescale/tracker-tensorboard";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../../test/tools/free-port.ts";
import { fileVersionEvent, scalarEvent } from "../src/summary.ts";
import { tfRecord } from "../src/tf-record.ts";
import { PythonEventReader, venvPython } from "./python-event-reader.ts";

const startMs = 1_790_000_000_000;
const title = "Noise scale <img src=x onerror=alert(1)>";
const markdown = "**B_simple** 437 examples (310–610) ≥ naïve `<img src=x onerror=alert(1)>`";
const trainerSteps = 40;
let root: string;
let reader: PythonEventReader;

/** A training run in three pushes: the interval is bounded from step 2 on only. */
function deliveries(): Delivery[] {
  return [0, 1, 2, 3, 4].map((step): Delivery => {
    const at = { step, timeMs: startMs + 1000 * step };
    const known = step < 2 ? [] : [metricKey.bSimple, metricKey.bSimpleHigh, metricKey.bNoise];
    return {
      points: [
        ...known,
        metricKey.bSimpleLow,
        metricKey.bPreconditioned,
        metricKey.batchSize,
        metricKey.recommendedBatchSize,
      ].map((key) => ({
        ...at,
        key,
        value: 100.1 * (step + 1),
      })),
      panels: [{ ...at, panel: "noise-scale", title, contentType: "image/png", bytes: picture(step) }],
      note: { ...at, markdown },
    };
  });
}
function picture(step: number): Uint8Array {
  return createCanvas(300 + step, 40).toBuffer("image/png");
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "noisescale-tensorboard-"));
  reader = new PythonEventReader();
  const run = await tensorboardTracker({ root }).openRun(
    { dir: "mnist" },
    { run: "r", project: "p", name: "r", queue: "0123456789abcdef" },
  );
  let position: string | null = null;
  for (const delivery of deliveries()) position = await run.send(delivery, position);

  // A trainer's own file, in the directory above ours.
  const theirs = Array.from({ length: trainerSteps }, (_, step) =>
    scalarEvent("loss", 1 / (step + 1), { step, timeMs: startMs + 1000 * step }),
  );
  await mkdir(join(root, "mnist"), { recursive: true });
  await writeFile(
    join(root, "mnist", "events.out.tfevents.1790000000.trainer.1.0"),
    Buffer.concat([fileVersionEvent(startMs), ...theirs].map(tfRecord)),
  );
});
afterAll(async () => {
  reader.stop();
  await rm(root, { recursive: true });
});

describe("the tensorboard package reads", () => {
  test("values as floats; one that a float cannot hold is left out, not turned into infinity or 0", async () => {
    const run = await tensorboardTracker({ root }).openRun(
      { dir: "wide" },
      { run: "w", project: "p", name: "w", queue: "0123456789abcdef" },
    );
    const values = [0.1, 1e300, 3e38, 1e-60, 0, -1e300, 1e-40];
    await run.send(
      { points: values.map((value, step) => ({ key: metricKey.covarianceTrace, step, timeMs: 0, value })), panels: [] },
      null,
    );
    const { scalars } = await reader.read(join(root, "wide", "noise_scale"));
    expect(scalars[metricKey.covarianceTrace]?.map(([step, , value]) => [step, value])).toEqual(
      [0, 2, 4, 6].map((step) => [step, Math.fround(values[step] ?? 0)]),
    );
  });

  test("the layout with the band, whose three tags have the same steps", async () => {
    const { layout, scalars, classes } = await reader.read(join(root, "mnist", "noise_scale"));
    const [[title, [[, , margins] = []] = []] = []] = layout ?? [];
    expect(title).toBe("Noise scale");
    const [band] = margins ?? [];
    expect(band).toHaveLength(3);
    for (const tag of band ?? []) {
      expect(scalars[tag]?.map(([step]) => step)).toEqual([2, 3, 4]);
      expect(classes[tag]).toEqual(["scalars", 1]);
    }
  });

  test("charts that match the tags meant and no others", async () => {
    const { layout, scalars } = await reader.read(join(root, "mnist", "noise_scale"));
    const charts = layout?.[1]?.[1] ?? [];
    const matched = charts.map(([, patterns]) =>
      Object.keys(scalars).filter((tag) => patterns.some((pattern) => new RegExp(pattern).test(tag))),
    );
    expect(matched.slice(0, 2).map((tags) => tags.sort())).toEqual([
      [metricKey.batchSize, metricKey.recommendedBatchSize],
      [metricKey.bNoise, metricKey.bPreconditioned, metricKey.bSimple],
    ]);
  });

  test("panels as the pictures that they were, with their size and title", async () => {
    const { images, classes } = await reader.read(join(root, "mnist", "noise_scale"));
    const panel = images["noise_scale/panel/noise-scale"];
    expect(panel?.title).toBe(title);
    expect(panel?.events.map(([step, width, height]) => [step, width, height])).toEqual(
      [0, 1, 2, 3, 4].map((step) => [step, 300 + step, 40]),
    );
    expect(panel?.events[4]?.[3]).toBe(Buffer.from(picture(4)).toString("base64"));
    expect(classes["noise_scale/panel/noise-scale"]).toEqual(["images", 3]);
  });

  test("the note as text", async () => {
    const { texts } = await reader.read(join(root, "mnist", "noise_scale"));
    expect(texts["noise_scale/note/text_summary"]?.at(-1)).toEqual([4, markdown]);
  });
});

describe.each([["--load_fast=true"], ["--load_fast=false"]])("tensorboard %s serves", (mode) => {
  let server: ChildProcess;
  let origin: string;
  beforeAll(async () => {
    const port = await freePort();
    origin = `http://127.0.0.1:${port}`;
    const options = ["--logdir", root, "--port", String(port), "--host", "127.0.0.1", "--reload_interval", "1", mode];
    server = spawn(venvPython, ["-m", "tensorboard.main", ...options], { stdio: "ignore" });
    await until(async () => (await fetch(`${origin}/data/runs`)).ok);
    await until(async () => (await points("mnist/noise_scale", metricKey.batchSize)).length === 5);
  });
  afterAll(async () => {
    const ended = once(server, "exit");
    server.kill();
    await ended;
  });

  async function answer(path: string, query: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${origin}/data/plugin/${path}?${new URLSearchParams(query)}`);
  }
  async function points(run: string, tag: string): Promise<readonly (readonly [number, number, number])[]> {
    const response = await answer("scalars/scalars", { run, tag });
    return response.ok ? ((await response.json()) as readonly (readonly [number, number, number])[]) : [];
  }

  test("our scalars, and all of the trainer's beside them", async () => {
    const ours = await points("mnist/noise_scale", metricKey.bSimple);
    expect(ours.map(([, step]) => step)).toEqual([2, 3, 4]);
    for (const [, step, value] of ours) expect(value).toBe(Math.fround(100.1 * (step + 1)));
    await until(async () => (await points("mnist", "loss")).length === trainerSteps);
    expect((await points("mnist", "loss")).map(([, step]) => step)).toEqual(
      Array.from({ length: trainerSteps }, (_, step) => step),
    );
  });

  test("the layout and the band's points in the Custom Scalars tab", async () => {
    const layout = (await (await answer("custom_scalars/layout")).json()) as {
      category: {
        title: string;
        chart: { title: string; margin?: { series: { value: string }[] }; multiline?: { tag: string[] } }[];
      }[];
    };
    expect(layout.category[0]?.title).toBe("Noise scale");
    const tag = layout.category[0]?.chart[0]?.margin?.series[0]?.value ?? "";
    const events = async (pattern: string) => {
      const answered = await answer("custom_scalars/scalars", { run: "mnist/noise_scale", tag: pattern });
      return ((await answered.json()) as { tag_to_events: Record<string, unknown[]> }).tag_to_events;
    };
    expect((await events(`^${tag}$`))[tag]).toHaveLength(3);
    const scales = layout.category[1]?.chart.find(({ title }) => title.startsWith("Noise scales"));
    // As TensorBoard's page asks: for each of the chart's patterns.
    const drawn = await Promise.all(scales?.multiline?.tag.map(events) ?? []);
    expect(drawn.map((tags) => Object.entries(tags).map(([key, points]) => [key, points.length]))).toEqual([
      [[metricKey.bSimple, 3]],
      [[metricKey.bNoise, 3]],
      [[metricKey.bPreconditioned, 5]],
    ]);
  });

  test("a panel as its PNG, and the note with its hostile name made harmless", async () => {
    const run = "mnist/noise_scale";
    const listed = await answer("images/images", { run, tag: "noise_scale/panel/noise-scale", sample: "0" });
    const images = (await listed.json()) as { step: number; query: string }[];
    const last = images.at(-1);
    expect(last?.step).toBe(4);
    const shown = await fetch(`${origin}/data/plugin/images/individualImage?${last?.query}`);
    expect(Buffer.from(await shown.arrayBuffer()).equals(picture(4))).toBe(true);

    const texts = await (await answer("text/text", { run, tag: "noise_scale/note/text_summary" })).text();
    expect(texts).toContain("437 examples");
    expect(JSON.parse(texts).at(-1).text).not.toContain("<img");
  });
});

/** Asks again, ten times a second, until the server that another process starts has what it was given. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > deadline) throw new Error("TensorBoard did not serve what was written within 60 s.");
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
}
