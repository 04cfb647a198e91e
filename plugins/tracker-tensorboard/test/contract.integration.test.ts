import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCanvas } from "@napi-rs/canvas";
import { describeTracker } from "@noisescale/tracker/contract";
import { tensorboardTracker } from "@noisescale/tracker-tensorboard";
import { PythonEventReader } from "./python-event-reader.ts";

const directories: string[] = [];

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "noisescale-tensorboard-"));
  directories.push(directory);
  return directory;
}

describeTracker("tensorboardTracker", {
  start: async () => {
    const root = await temporaryDirectory();
    const reader = new PythonEventReader();
    return {
      createTracker: () => tensorboardTracker({ root }),
      target: (run) => ({ dir: `mnist/${run}` }),
      read: async (run) => {
        const { scalars, images, texts, rendered, panelData } = await reader.read(
          join(root, "mnist", run, "noise_scale"),
        );
        return {
          points: Object.entries(scalars)
            .filter(([tag]) => !tag.startsWith("noise_scale_band/"))
            .flatMap(([key, events]) =>
              events.map(([step, wallTime, value]) => ({ key, step, timeMs: Math.round(wallTime * 1000), value })),
            ),
          // TensorBoard shows the last image of a tag.
          panels: Object.entries(images).map(([tag, { events }]) => ({
            panel: tag.replace("noise_scale/panel/", ""),
            contentType: "image/png" as const,
            bytes: Buffer.from(events.at(-1)?.[3] ?? "", "base64"),
          })),
          note: texts["noise_scale/note/text_summary"]?.at(-1)?.[1],
          panelData: panelData ?? undefined,
          alerts: Object.entries(rendered).flatMap(([tag, shown]) =>
            tag.startsWith("noise_scale/alert/") ? shown : [],
          ),
        };
      },
      countRuns: async () => (await readdir(root)).length,
      stop: async () => {
        reader.stop();
        for (const directory of directories) await rm(directory, { recursive: true });
      },
    };
  },
  refusedTargets: {
    "unknown field": { dir: "a", root: "/etc" },
    "not text": { dir: 7 },
    absolute: { dir: "/etc" },
    "climbs out": { dir: "../../etc" },
    "climbs out from inside": { dir: "a/../../etc" },
    empty: { dir: "" },
    "empty segment": { dir: "a//b" },
    "a drive": { dir: "C:/x" },
    "a backslash": { dir: "..\\x" },
    "a NUL": { dir: "a\0b" },
    "a segment too long for a file system": { dir: "k".repeat(256) },
  },
  createUnreachableTracker: async () => {
    const file = join(await temporaryDirectory(), "a-file");
    await writeFile(file, "no directory");
    return tensorboardTracker({ root: join(file, "below") });
  },
  keptValue: Math.fround,
  panelBytes: (_, seed) => createCanvas(100 + seed, 20).toBuffer("image/png"),
});
