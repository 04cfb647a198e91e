import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { SqliteStore } from "../../src/store/sqlite-store.ts";
import { temporaryDirectory } from "../temporary-directory.ts";
import { describeStore } from "./store-contract.ts";

describeStore("the SQLite store", () => {
  const file = join(temporaryDirectory(), "store.sqlite");
  return { open: async () => new SqliteStore(file) };
});

test("a database of another version is refused by name, and left as it is", () => {
  const file = join(temporaryDirectory(), "other.sqlite");
  const other = new DatabaseSync(file);
  other.exec("PRAGMA user_version = 99");
  other.close();
  expect(() => new SqliteStore(file)).toThrow(/other\.sqlite was written by another version/);
});
