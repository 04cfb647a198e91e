import { mkdir, open, readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { StampedEvent, StampedMeasurement } from "./waiting-records.ts";

export interface SpoolOptions {
  readonly directory: string;
  readonly run: string;
  readonly attempt: number;
  /** Upper bound of what this run's folder holds [bytes]. */
  readonly maxBytes: number;
  /** A file is closed and synced at this size, and the next one begins [bytes]. */
  readonly rotateBytes: number;
}

export interface SpooledFile {
  readonly measurements: StampedMeasurement[];
  readonly events: StampedEvent[];
  /** Lines that were not whole: a crash in the middle of a write. */
  readonly brokenLines: number;
  remove(): Promise<void>;
}

const fileName = /^(\d{15})-(\d+)-(\d{6})\.ndjson$/;

/**
 * Records on disk while the collector is away: `<directory>/<run>/<attempt>-<process id>-<number>.ndjson`, one record a
 * line. Files are read back in the order of their names: earlier attempts first. A file of another process is taken over
 * when that process is gone, so one spool directory belongs to one machine.
 */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #folder: string;
  #sequence = 0;
  #current: { readonly name: string; readonly handle: Awaited<ReturnType<typeof open>>; bytes: number } | undefined;

  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#folder = join(options.directory, options.run);
  }

  /**
   * Appends records at the end.
   * @returns how many records were written; the rest did not fit in `maxBytes`
   */
  async append(measurements: readonly StampedMeasurement[], events: readonly StampedEvent[]): Promise<number> {
    await mkdir(this.#folder, { recursive: true });
    let room = this.#options.maxBytes - (await this.#bytes());
    let written = 0;
    let text = "";
    const records = [
      ...measurements.map((measurement) => ({ measurement })),
      ...events.map((stamped) => ({ attempt: stamped.attempt, event: stamped.event })),
    ];
    for (const record of records) {
      const line = `${JSON.stringify(record)}\n`;
      const bytes = Buffer.byteLength(line);
      if (bytes > room) break;
      room -= bytes;
      written += 1;
      text += line;
      if (text.length >= this.#options.rotateBytes) {
        await this.#write(text);
        text = "";
      }
    }
    if (text !== "") await this.#write(text);
    return written;
  }

  /** The oldest file, or undefined when nothing is left. What this process still wrote to is closed first. */
  async oldest(): Promise<SpooledFile | undefined> {
    for (const name of await this.#names()) {
      const [, , owner] = fileName.exec(name) ?? [];
      if (Number(owner) !== process.pid && isAlive(Number(owner))) continue;
      if (this.#current?.name === name) await this.sync();
      const path = join(this.#folder, name);
      return { ...parseLines(await readFile(path, "utf8")), remove: () => unlink(path) };
    }
    return undefined;
  }

  /** Closes the file being written and forces it to disk. */
  async sync(): Promise<void> {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    try {
      await current.handle.sync();
    } finally {
      await current.handle.close();
    }
  }

  async #write(text: string): Promise<void> {
    if (this.#current === undefined) {
      const sequence = String(this.#sequence++).padStart(6, "0");
      const name = `${String(this.#options.attempt).padStart(15, "0")}-${process.pid}-${sequence}.ndjson`;
      this.#current = { name, handle: await open(join(this.#folder, name), "a"), bytes: 0 };
    }
    const current = this.#current;
    await current.handle.appendFile(text);
    current.bytes += Buffer.byteLength(text);
    if (current.bytes >= this.#options.rotateBytes) await this.sync();
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#folder)).filter((name) => fileName.test(name)).sort();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw error;
    }
  }

  async #bytes(): Promise<number> {
    const sizes = await Promise.all(
      (await this.#names()).map(async (name) => (await stat(join(this.#folder, name))).size),
    );
    return sizes.reduce((total, size) => total + size, 0);
  }
}

function parseLines(text: string): Omit<SpooledFile, "remove"> {
  const file = { measurements: [] as StampedMeasurement[], events: [] as StampedEvent[], brokenLines: 0 };
  for (const line of text.split("\n")) {
    if (line === "") continue;
    try {
      const record: { measurement: StampedMeasurement } | StampedEvent = JSON.parse(line);
      if ("measurement" in record) file.measurements.push(record.measurement);
      else file.events.push(record);
    } catch {
      file.brokenLines += 1;
    }
  }
  return file;
}

/** Signal 0 only asks. EPERM means that the process is there and belongs to someone else. */
function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
