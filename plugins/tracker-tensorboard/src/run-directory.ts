import { mkdir, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { type RunContext, TrackerError } from "@noisescale/tracker";
import { z } from "zod";

const targetSchema = z.strictObject({ dir: z.string().max(1000).optional() });

/** Segments of the run's directory below the root, from what a training job sent. */
export function runSegments(target: Readonly<Record<string, unknown>>, context: RunContext): string[] {
  const parsed = targetSchema.safeParse(target);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw refusal(
      `the run is malformed (${issue?.message ?? "unknown reason"}); it takes {"dir": "path/below/the/root"}`,
    );
  }
  const dir = parsed.data.dir ?? context.run;
  const segments = dir.split("/");
  const odd = segments.find(
    (segment) =>
      segment === "" ||
      segment === "." ||
      segment === ".." ||
      Buffer.byteLength(segment) > 255 ||
      /[\\\p{Control}]|^[A-Za-z]:/u.test(segment),
  );
  if (odd !== undefined) {
    throw refusal(
      `the field dir, ${JSON.stringify(dir)}, must be a path below the collector's TensorBoard root: ` +
        `no leading or double "/", no "." or "..", no backslash, drive or control character`,
    );
  }
  return segments;
}

/**
 * Makes `<root>/<segments>/noise_scale`, one level at a time, so that a symbolic link on the way is seen before anything
 * is made behind it.
 *
 * @returns its real path
 * @throws TrackerError, not retryable, where a link leads out of the root
 */
export async function makeRunDirectory(root: string, segments: readonly string[]): Promise<string> {
  await mkdir(root, { recursive: true });
  const realRoot = await realpath(root);
  let directory = realRoot;
  for (const segment of [...segments, "noise_scale"]) {
    const next = join(directory, segment);
    await mkdir(next).catch((error: unknown) => {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    });
    directory = await realpath(next);
    if (!directory.startsWith(realRoot.endsWith(sep) ? realRoot : realRoot + sep)) {
      throw refusal(`${JSON.stringify(segments.join("/"))} leads out of the collector's TensorBoard root by a link`);
    }
  }
  return directory;
}

function refusal(what: string): TrackerError {
  return new TrackerError(`tensorboard: ${what}.`, { retryable: false });
}
