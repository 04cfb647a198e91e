import { createHash } from "node:crypto";

/** Longest key that every tracker takes [characters]. */
const maxKeyLength = 250;

/** The keys that every tracker shows, whatever their source; layers have `layerMetricKeys`. */
export const metricKey: {
  readonly bSimple: "noise_scale/b_simple";
  readonly bSimpleLow: "noise_scale/b_simple_low";
  readonly bSimpleHigh: "noise_scale/b_simple_high";
  readonly gradientSquaredNorm: "noise_scale/gradient_squared_norm";
  readonly covarianceTrace: "noise_scale/covariance_trace";
  readonly bNoise: "noise_scale/b_noise";
  readonly bPreconditioned: "noise_scale/b_preconditioned";
  readonly criticalBatchSize: "noise_scale/critical_batch_size";
  readonly recommendedBatchSize: "noise_scale/recommended_batch_size";
  readonly batchSize: "noise_scale/batch_size";
  readonly efficiency: "noise_scale/efficiency";
} = {
  bSimple: "noise_scale/b_simple",
  bSimpleLow: "noise_scale/b_simple_low",
  bSimpleHigh: "noise_scale/b_simple_high",
  gradientSquaredNorm: "noise_scale/gradient_squared_norm",
  covarianceTrace: "noise_scale/covariance_trace",
  bNoise: "noise_scale/b_noise",
  bPreconditioned: "noise_scale/b_preconditioned",
  criticalBatchSize: "noise_scale/critical_batch_size",
  recommendedBatchSize: "noise_scale/recommended_batch_size",
  batchSize: "noise_scale/batch_size",
  efficiency: "noise_scale/efficiency",
};

/** Whether every tracker takes `key` as it is: `[A-Za-z0-9_./-]`, at most 250, no empty, `.` or `..` segment. */
export function isMetricKey(key: string): boolean {
  return (
    key.length <= maxKeyLength &&
    /^[A-Za-z0-9_./-]+$/.test(key) &&
    key.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..")
  );
}

/**
 * Keys `prefix + name + suffix` for free names, each cleaned. Two names that become one key are told apart by a hash of
 * the name, and so is a name that had to be cut. A name that needs no cleaning keeps its plain key. The answer depends on
 * the set of names, not on their order: pass all names of a run, not only those of one push, and a key never changes.
 *
 * @param names - any text; `/` makes segments; the same name twice is the same key
 * @param affix - parts that are keys already; together shorter than 200 characters
 * @returns the keys, in the order of `names`
 */
export function metricKeys(
  names: readonly string[],
  affix: { readonly prefix?: string; readonly suffix?: string } = {},
): string[] {
  const { prefix = "", suffix = "" } = affix;
  const room = maxKeyLength - prefix.length - suffix.length;
  if (room < 50) throw new RangeError("metricKeys: prefix and suffix must be shorter than 200 characters together");

  const unique = [...new Set(names)].sort();
  const claims = new Map<string, number>();
  for (const name of unique) claims.set(cleaned(name), (claims.get(cleaned(name)) ?? 0) + 1);
  const isPlain = (name: string): boolean =>
    cleaned(name).length <= room && (cleaned(name) === name || claims.get(cleaned(name)) === 1);

  const bodies = new Map<string, string>();
  const taken = new Set<string>();
  for (const name of [...unique.filter(isPlain), ...unique.filter((other) => !isPlain(other))]) {
    const body = isPlain(name) ? cleaned(name) : hashed(name, room, taken);
    taken.add(body);
    bodies.set(name, body);
  }
  return names.map((name) => `${prefix}${bodies.get(name)}${suffix}`);
}

/** The key `noise_scale/layer/<name>/b_simple` of each layer, as `metricKeys` makes them. */
export function layerMetricKeys(layers: readonly string[]): Map<string, string> {
  const keys = metricKeys(layers, { prefix: "noise_scale/layer/", suffix: "/b_simple" });
  return new Map(layers.map((layer, index) => [layer, keys[index] ?? ""]));
}

function cleaned(name: string): string {
  return name
    .replaceAll(/[^A-Za-z0-9_./-]/gu, "_")
    .split("/")
    .map((segment) =>
      segment === "" ? "_" : segment === "." || segment === ".." ? "_".repeat(segment.length) : segment,
    )
    .join("/");
}

/** The cleaned name with as much of its hash as it takes to be nobody else's. */
function hashed(name: string, room: number, taken: ReadonlySet<string>): string {
  const digest = createHash("sha256").update(name).digest("hex");
  for (let length = 8; length < 40; length += 8) {
    const tail = `-${digest.slice(0, length)}`;
    const body = cleaned(name).slice(0, room - tail.length) + tail;
    if (!taken.has(body)) return body;
  }
  return `${"_".repeat(room - 65)}-${digest}`.slice(-room);
}
