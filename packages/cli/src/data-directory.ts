import { existsSync } from "node:fs";
import { join } from "node:path";
import { SqliteStore, type Store } from "@noisescale/server";
import { CommandError } from "./command.ts";

/** Where the store lies unless `--data` says otherwise; relative to the folder that the command is run in. */
export const defaultDataDirectory = ".noisescale";

/**
 * Opens the store that a collector keeps in a directory; the collector may be running.
 *
 * @throws CommandError where there is none
 */
export async function withStore<Result>(directory: string, work: (store: Store) => Promise<Result>): Promise<Result> {
  const file = join(directory, "noisescale.sqlite");
  if (!existsSync(file)) {
    throw new CommandError(`There is no store at ${file}: name the collector's folder with --data.`);
  }
  const store = new SqliteStore(file);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
