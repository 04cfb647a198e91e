import { type Collector, type CollectorOptions, ConfigError, startCollector } from "@noisescale/server";
import { CommandError } from "./command.ts";

/** Starts the collector; what a user can mend is said without a stack. @throws CommandError */
export async function startForUser(options: CollectorOptions): Promise<Collector> {
  try {
    return await startCollector(options);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof ConfigError) throw new CommandError(message);
    if (code === "EADDRINUSE") {
      throw new CommandError(`${message}. Choose another port with --port, or stop what listens there.`);
    }
    if (code === "EEXIST" || code === "ENOTDIR") {
      throw new CommandError(`${options.dataDirectory} is not a folder: name one for the store with --data.`);
    }
    if (code === "ENOTFOUND" || code === "EADDRNOTAVAIL") {
      throw new CommandError(`${message}: --host must be an address of this machine.`);
    }
    if (code !== undefined) throw new CommandError(message);
    throw error;
  }
}
