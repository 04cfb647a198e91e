import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { TrackerError } from "@noisescale/tracker";

/** The end of what was acknowledged: a file of the run and its length [bytes]. */
export interface FilePosition {
  /** Counts the run's files from 1. TensorBoard reads them in the order of their names. */
  readonly file: number;
  readonly length: number;
}

/** Whose files: a run of the collector, and its queue. Another queue of the same run goes on in files of its own. */
export interface FileOwner {
  readonly run: string;
  readonly queue: string;
}

/** Reads a position as `formatPosition` wrote it. */
export function parsePosition(position: string): FilePosition {
  const [, file, length] = /^([1-9]\d{0,9}):(\d{1,15})$/.exec(position) ?? [];
  if (file === undefined || length === undefined) {
    throw new TrackerError(`tensorboard: ${JSON.stringify(position)} is no position of an event file.`, {
      retryable: false,
    });
  }
  return { file: Number(file), length: Number(length) };
}

export function formatPosition(position: FilePosition): string {
  return `${position.file}:${position.length}`;
}

/** `tfevents` makes it an event file; the count comes before the name, so that the names sort as the files follow. */
function eventFileName({ run, queue }: FileOwner, file: number): string {
  return `events.out.tfevents.${String(file).padStart(10, "0")}.noisescale.${run}~${queue}`;
}

/** What a directory holds of a run. */
interface EventFiles {
  /** Counts of this queue's files. */
  readonly own: readonly number[];
  /** Highest count among the run's files, those of other queues too; 0 where there is none. */
  readonly last: number;
  /** Another collector run's name, if one writes there too. */
  readonly stranger: string | undefined;
}

export async function eventFiles(directory: string, owner: FileOwner): Promise<EventFiles> {
  const own: number[] = [];
  let last = 0;
  let stranger: string | undefined;
  for (const name of await readdir(directory)) {
    const [, file, run, queue] = /^events\.out\.tfevents\.(\d{10})\.noisescale\.(.+)~([0-9a-f]+)$/.exec(name) ?? [];
    if (run === undefined) continue;
    if (run !== owner.run) {
      stranger ??= run;
      continue;
    }
    last = Math.max(last, Number(file));
    if (queue === owner.queue) own.push(Number(file));
  }
  return { own, last, stranger };
}

/** Where a queue begins: at its own first file, if a send without an answer left one, else behind what others wrote. */
export async function startOfQueue(directory: string, owner: FileOwner): Promise<FilePosition> {
  const { own, last } = await eventFiles(directory, owner);
  return { file: own.length > 0 ? Math.min(...own) : last + 1, length: 0 };
}

/** Whether a file still holds all that was acknowledged. */
export async function reaches(directory: string, owner: FileOwner, position: FilePosition): Promise<boolean> {
  if (position.length === 0) return true;
  const found = await stat(join(directory, eventFileName(owner, position.file))).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  return found !== undefined && found.size >= position.length;
}

/**
 * Writes `records` at a position and ends the file behind them; later files of the queue, left by a crash, go. What stood
 * behind the position was never acknowledged. Bytes that were there already are written over with the same ones before
 * the file is cut, so that TensorBoard, reading meanwhile, never sees it shrink under it. Synced to disk on return.
 */
export async function writeRecords(
  directory: string,
  owner: FileOwner,
  position: FilePosition,
  records: Uint8Array,
): Promise<FilePosition> {
  const path = join(directory, eventFileName(owner, position.file));
  // O_NOFOLLOW: a link planted under the file's name would lead the write out of the root.
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
  const end = position.length + records.length;
  try {
    await writeAll(handle, records, position.length);
    await handle.truncate(end);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  if (position.length === 0) await syncDirectory(directory);
  const { own } = await eventFiles(directory, owner);
  for (const file of own.filter((count) => count > position.file)) {
    await unlink(join(directory, eventFileName(owner, file)));
  }
  return { file: position.file, length: end };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    written += (await handle.write(bytes, written, bytes.length - written, at + written)).bytesWritten;
  }
}

/** A new file's name is durable only when its directory is. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
