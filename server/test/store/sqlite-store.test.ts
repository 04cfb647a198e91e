import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { migrations } from "../../src/store/sqlite-schema.ts";
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

test("evaluations that an older version stored are found by name after the migration", async () => {
  const file = join(temporaryDirectory(), "older.sqlite");
  const older = new DatabaseSync(file);
  older.exec(`${migrations[0]?.statements} PRAGMA user_version = ${migrations[0]?.version}`);
  const insert = older.prepare("INSERT INTO measurements VALUES (1, 0, ?, 0, NULL, 1, 1, 4, 4, 1, NULL, NULL, ?)");
  insert.run(3, null);
  insert.run(4, JSON.stringify({ layers: [["a", [1, 2]]] }));
  insert.run(
    5,
    JSON.stringify({
      evaluations: [
        ["accuracy", 1],
        ['a"b', 0.25],
      ],
      layers: [["a", [1, 2]]],
    }),
  );
  older.close();
  const store = new SqliteStore(file);
  expect(await store.evaluationNames(1, 9)).toEqual(['a"b', "accuracy"]);
  const found = await Array.fromAsync(store.evaluations(1, 'a"b', 0, { from: 0, to: 10 }));
  expect(found).toEqual([{ step: 5, value: 0.25 }]);
  await store.close();
});
