import type { Spool, SpooledFile } from "./spool.ts";
import type { WaitingRecords } from "./waiting-records.ts";

interface SpoolAccessOptions {
  readonly run: string;
  readonly attempt: number;
  readonly spoolDirectory: string | undefined;
  readonly maxSpoolBytes: number;
}

/** The spool as the delivery sees it: perhaps absent, loaded only when it is used (a browser has none), never throwing. */
export class SpoolAccess {
  readonly #options: SpoolAccessOptions;
  readonly #warn: (code: string, message: string) => void;
  #spool: Spool | undefined;
  /** False without a spool, or when its folder was seen empty since the last append. */
  mayHoldRecords: boolean;
  /** Records written. */
  spooled = 0;
  /** Records that found no room. */
  lost = 0;

  constructor(options: SpoolAccessOptions, warn: (code: string, message: string) => void) {
    this.#options = options;
    this.#warn = warn;
    this.mayHoldRecords = options.spoolDirectory !== undefined;
  }

  /** Moves what waits in memory to disk; without a spool, or when it cannot be written, it stays where it is. */
  async take(waiting: WaitingRecords): Promise<void> {
    const { spoolDirectory, run } = this.#options;
    if (waiting.empty || spoolDirectory === undefined) return;
    const { measurements, events } = waiting.takeAll();
    try {
      const spool = await this.#open(spoolDirectory);
      const written = await spool.append(measurements, events);
      const lost = measurements.length + events.length - written;
      this.spooled += written;
      this.lost += lost;
      this.mayHoldRecords ||= written > 0;
      if (lost > 0) this.#warn("spool-full", `The spool of run ${run} in ${spoolDirectory} is full: records are lost.`);
    } catch (error) {
      waiting.putBack(measurements, events);
      this.#warn("spool", `Cannot write to the spool ${spoolDirectory}, records wait in memory: ${String(error)}`);
    }
  }

  /** The oldest file that is not another living process's. */
  async oldest(): Promise<SpooledFile | undefined> {
    const { spoolDirectory, run } = this.#options;
    if (spoolDirectory === undefined || !this.mayHoldRecords) return undefined;
    try {
      const file = await (await this.#open(spoolDirectory)).oldest();
      this.mayHoldRecords = file !== undefined;
      if (file !== undefined && file.brokenLines > 0) {
        this.#warn("broken-spool", `${file.brokenLines} half-written lines in the spool of run ${run} are skipped.`);
      }
      return file;
    } catch (error) {
      this.mayHoldRecords = false;
      this.#warn("spool", `Cannot read the spool ${spoolDirectory}: ${String(error)}`);
      return undefined;
    }
  }

  async sync(): Promise<void> {
    try {
      await this.#spool?.sync();
    } catch (error) {
      this.#warn("spool", `Cannot sync the spool ${this.#options.spoolDirectory}: ${String(error)}`);
    }
  }

  async #open(directory: string): Promise<Spool> {
    if (this.#spool === undefined) {
      const { Spool: LoadedSpool } = await import("./spool.ts");
      const { run, attempt, maxSpoolBytes } = this.#options;
      this.#spool = new LoadedSpool({ directory, run, attempt, maxBytes: maxSpoolBytes, rotateBytes: 4 * 2 ** 20 });
    }
    return this.#spool;
  }
}
