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

const startOfRun: FilePosition = { file: 1, length: 0 };

/** Reads a position as `formatPosition` wrote it. */
export function parsePosition(position: string | null): FilePosition {
  if (position === null) return startOfRun;
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
function eventFileName(run: string, file: number): string {
  return `events.out.tfevents.${String(file).padStart(10, "0")}.noisescale.${run}`;
}

/** Counts of the run's event files in a directory, and another collector run's name if one writes there too. */
export async function eventFiles(
  directory: string,
  run: string,
): Promise<{ readonly files: readonly number[]; readonly stranger: string | undefined }> {
  const files: number[] = [];
  let stranger: string | undefined;
  for (const name of await readdir(directory)) {
    const [, file, owner] = /^events\.out\.tfevents\.(\d{10})\.noisescale\.(.+)$/.exec(name) ?? [];
    if (owner === run) files.push(Number(file));
    else stranger ??= owner;
  }
  return { files, stranger };
}

/** Whether a file still holds all that was acknowledged. */
export async function reaches(directory: string, run: string, position: FilePosition): Promise<boolean> {
  if (position.length === 0) return true;
  const found = await stat(join(directory, eventFileName(run, position.file))).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  return found !== undefined && found.size >= position.length;
}

/**
 * Writes `records` at a position and ends the file behind them; later files of the run, left by a crash, go. What stood
 * behind the position was never acknowledged. Bytes that were there already are written over with the same ones before
 * the file is cut, so that TensorBoard, reading meanwhile, never sees it shrink under it. Synced to disk on return.
 */
export async function writeRecords(
  directory: string,
  run: string,
  position: FilePosition,
  records: Uint8Array,
): Promise<FilePosition> {
  const path = join(directory, eventFileName(run, position.file));
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
  const { files } = await eventFiles(directory, run);
  for (const file of files.filter((count) => count > position.file)) {
    await unlink(join(directory, eventFileName(run, file)));
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
