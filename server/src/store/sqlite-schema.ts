/** Brings a database from the version before, or from nothing, to its own. */
interface Migration {
  readonly version: number;
  readonly statements: string;
}

/** The run's id leads every key, so that the data of a run lie together. Blobs are little-endian numbers of 64 bits. */
const firstTables = `
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL UNIQUE,
  declaration TEXT NOT NULL,
  state TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  version INTEGER NOT NULL,
  fold_attempt INTEGER,
  fold_step INTEGER,
  fold_time_ms REAL,
  fold_measurements INTEGER,
  fold_state BLOB
) STRICT;

CREATE TABLE measurements (
  run INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  step INTEGER NOT NULL,
  time_ms REAL NOT NULL,
  units REAL,
  small_batch_size REAL NOT NULL,
  small_mean_squared_norm REAL NOT NULL,
  small_count INTEGER NOT NULL,
  big_batch_size REAL NOT NULL,
  big_squared_norm REAL NOT NULL,
  loss REAL,
  learning_rate REAL,
  named TEXT,
  PRIMARY KEY (run, attempt, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
  run INTEGER NOT NULL,
  step INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  time_ms REAL NOT NULL,
  measurements INTEGER NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (run, step)
) STRICT;

CREATE TABLE series (
  run INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  first_step INTEGER NOT NULL,
  last_step INTEGER NOT NULL,
  count INTEGER NOT NULL,
  rows BLOB NOT NULL,
  PRIMARY KEY (run, chunk)
) STRICT;

CREATE TABLE events (
  run INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  step INTEGER NOT NULL,
  kind TEXT NOT NULL,
  code TEXT NOT NULL,
  time_ms REAL NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (run, attempt, step, kind, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE queues (
  run INTEGER NOT NULL,
  tracker TEXT NOT NULL,
  target TEXT NOT NULL,
  queue TEXT NOT NULL,
  position TEXT,
  url TEXT,
  failures INTEGER NOT NULL DEFAULT 0,
  next_attempt_ms REAL NOT NULL DEFAULT 0,
  message TEXT,
  parked INTEGER NOT NULL DEFAULT 0,
  lease_owner TEXT,
  lease_until_ms REAL NOT NULL DEFAULT 0,
  made_ms REAL NOT NULL DEFAULT 0,
  made_time_ms REAL NOT NULL DEFAULT 0,
  made_measurements INTEGER NOT NULL DEFAULT 0,
  layers_time_ms REAL NOT NULL DEFAULT 0,
  panels_ms REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (run, tracker)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL,
  tracker TEXT NOT NULL,
  points TEXT NOT NULL,
  final INTEGER NOT NULL,
  claimed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_queue ON outbox (run, tracker, id);
`;

/** Evaluations by name, so that a target is found without reading every measurement; and what sweeps have measured. */
const frontierTables = `
CREATE TABLE evaluations (
  run INTEGER NOT NULL,
  name TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  step INTEGER NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (run, name, attempt, step)
) STRICT, WITHOUT ROWID;
INSERT INTO evaluations
  SELECT run, evaluation.value ->> 0, attempt, step, evaluation.value ->> 1
  FROM measurements, json_each(named, '$.evaluations') AS evaluation WHERE named IS NOT NULL;

CREATE TABLE group_frontiers (
  project TEXT NOT NULL,
  group_name TEXT NOT NULL,
  target TEXT NOT NULL,
  unit TEXT NOT NULL,
  loss REAL,
  critical_batch_size REAL NOT NULL,
  critical_batch_size_low REAL,
  critical_batch_size_high REAL,
  answer TEXT NOT NULL,
  PRIMARY KEY (project, group_name, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE calibrations (
  project TEXT NOT NULL PRIMARY KEY,
  ratio REAL NOT NULL,
  ratio_low REAL,
  ratio_high REAL,
  answer TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;

/** Alerts: their history, what webhooks are due, those that wait for a tracker, and when a run was last heard of. */
const alertTables = `
ALTER TABLE runs ADD COLUMN fold_watch BLOB;
ALTER TABLE runs ADD COLUMN arrived_ms REAL;
CREATE INDEX runs_arrived ON runs (arrived_ms) WHERE state = 'live';
ALTER TABLE checkpoints ADD COLUMN watch BLOB;
ALTER TABLE outbox ADD COLUMN alerts TEXT;

CREATE TABLE alerts (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL,
  id TEXT NOT NULL UNIQUE,
  attempt INTEGER NOT NULL,
  step INTEGER NOT NULL,
  time_ms REAL NOT NULL,
  rule TEXT NOT NULL,
  severity TEXT NOT NULL,
  sent INTEGER NOT NULL,
  title TEXT NOT NULL,
  text TEXT NOT NULL,
  ended_step INTEGER,
  ended_time_ms REAL
) STRICT;
CREATE INDEX alerts_run ON alerts (run, step);
CREATE INDEX alerts_standing ON alerts (run, rule) WHERE ended_step IS NULL;

CREATE TABLE webhook_messages (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL,
  webhook TEXT NOT NULL,
  id TEXT NOT NULL,
  body TEXT NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0,
  next_attempt_ms REAL NOT NULL DEFAULT 0,
  refused INTEGER NOT NULL DEFAULT 0,
  message TEXT,
  lease_owner TEXT,
  lease_until_ms REAL NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX webhook_messages_queue ON webhook_messages (webhook, refused, number);
`;

/** A job that raises alerts without end is not counted through for each of them. */
const alertIndexes = `
CREATE INDEX alerts_sent ON alerts (run, rule) WHERE sent = 1;
CREATE INDEX alerts_rule ON alerts (run, rule, attempt);
`;

/**
 * In order. A new database takes all of them, an older one those after its own version, so that what users stored is kept:
 * append, and never change one that was published.
 */
export const migrations: readonly Migration[] = [
  { version: 2, statements: firstTables },
  { version: 3, statements: frontierTables },
  { version: 4, statements: alertTables },
  { version: 5, statements: alertIndexes },
];

/** Tables that hold a run's rows under its id. */
export const runTables = [
  "measurements",
  "evaluations",
  "checkpoints",
  "series",
  "events",
  "queues",
  "outbox",
  "alerts",
  "webhook_messages",
] as const;
