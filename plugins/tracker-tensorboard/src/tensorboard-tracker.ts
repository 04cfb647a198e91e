import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  checkDelivery,
  type Delivery,
  metricKey,
  type RunContext,
  type Tracker,
  type TrackerCapabilities,
  TrackerError,
  type TrackerRun,
} from "@noisescale/tracker";
import {
  eventFiles,
  type FileOwner,
  type FilePosition,
  formatPosition,
  parsePosition,
  reaches,
  startOfQueue,
  writeRecords,
} from "./event-file.ts";
import { makeRunDirectory, runSegments } from "./run-directory.ts";
import { deliveryRecords } from "./transform.ts";

/** What the collector's own configuration says about TensorBoard. */
export interface TensorboardConfig {
  /** Directory that `tensorboard --logdir` reads; made if it is not there. No run writes outside it. */
  readonly root: string;
  /** A file that has grown past it gets a successor [bytes]; 64 MiB by default. */
  readonly rotateAtBytes?: number;
}

const capabilities: TrackerCapabilities = {
  panels: ["image/png"],
  note: true,
  alerts: true,
  panelData: true,
  pushEverySeconds: 2,
  pushPanelsEverySeconds: 60,
};

/**
 * Writes event files under `<root>/<dir>/noise_scale/`, beside a trainer's own, which are never touched. A run's target is
 * `{"dir": "path/below/root"}`; without it the directory is the run's name.
 */
export function tensorboardTracker(config: TensorboardConfig): Tracker {
  const { root, rotateAtBytes = 64 * 1024 * 1024 } = config;
  const kind = "tensorboard";
  return {
    kind,
    capabilities,
    async openRun(target, context): Promise<TrackerRun> {
      const segments = runSegments(target, context);
      const directory = await onDisk(root, () => openDirectory(root, segments, context));
      let closed = false;
      return {
        url: null,
        async send(delivery, position, signal): Promise<string> {
          if (closed) {
            throw new TrackerError(`tensorboard: the run ${context.run} was closed.`, { retryable: false });
          }
          checkDelivery({ kind, capabilities }, delivery);
          const next = await onDisk(root, async () => {
            const at = position === null ? await startOfQueue(directory, context) : parsePosition(position);
            // The last place to stop: a write is not cut in the middle. It ends by itself, or when its disk answers again, and until
            // then no other call of the queue begins; a second one would put the same bytes in the same place.
            signal?.throwIfAborted();
            return write(directory, context, at, delivery, rotateAtBytes);
          });
          return formatPosition(next);
        },
        async close(): Promise<void> {
          closed = true;
        },
      };
    },
    async selfTest(): Promise<string> {
      const dir = `noisescale-doctor-${randomBytes(8).toString("hex")}`;
      const context = { run: dir, project: "noisescale-doctor", name: "noisescale doctor", queue: "0123456789abcdef" };
      try {
        const run = await this.openRun({ dir }, context);
        await run.send(
          { points: [{ key: metricKey.bSimple, step: 0, timeMs: Date.now(), value: 1 }], panels: [] },
          null,
        );
      } finally {
        await onDisk(root, () => rm(join(root, dir), { recursive: true, force: true }));
      }
      return `Wrote an event file below ${root} and removed it.`;
    },
    async close(): Promise<void> {},
  };
}

async function openDirectory(root: string, segments: readonly string[], context: RunContext): Promise<string> {
  const directory = await makeRunDirectory(root, segments);
  const { stranger } = await eventFiles(directory, context);
  if (stranger === undefined) return directory;
  throw new TrackerError(
    `tensorboard: the directory ${JSON.stringify(segments.join("/"))} already holds the run ${stranger}, and TensorBoard ` +
      `would draw both as one; give ${context.run} another dir.`,
    { retryable: false },
  );
}

async function write(
  directory: string,
  owner: FileOwner,
  acknowledged: FilePosition,
  delivery: Delivery,
  rotateAtBytes: number,
): Promise<FilePosition> {
  // A file that someone deleted or cut cannot be continued: the rest goes to a new one, and what they removed stays away.
  const whole = await reaches(directory, owner, acknowledged);
  const at = whole && acknowledged.length < rotateAtBytes ? acknowledged : { file: acknowledged.file + 1, length: 0 };
  const records = deliveryRecords(delivery, at.length === 0);
  return records === undefined ? acknowledged : writeRecords(directory, owner, at, records);
}

/** A failing disk says nothing against the delivery: full, read-only and unmounted disks come back. */
async function onDisk<Result>(root: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TrackerError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TrackerError(
      `tensorboard: could not write below ${root}: ${reason}. Check that the directory exists, is writable and has room.`,
      { retryable: true, cause: error },
    );
  }
}
