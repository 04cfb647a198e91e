import { z } from "zod";
import { identifierSchema, unitSchema } from "./identifier.ts";
import { namedValues } from "./named-values.ts";

/** Batch sizes, data sets and costs in units: at least one, and no more than a number counts exactly. */
const units = z.number().min(1).max(Number.MAX_SAFE_INTEGER);

/** Longest description of a tracker's run [characters of JSON]. */
const longestTarget = 4096;

function isShort(target: unknown): boolean {
  try {
    return JSON.stringify(target).length <= longestTarget;
  } catch {
    // Nested too deep to be written.
    return false;
  }
}

/** One of the collector's configured trackers and the run in it that belongs to this one. */
export const trackerTargetSchema = z.strictObject({
  /** Name of a tracker in the collector's own configuration; never an address or a path. */
  name: identifierSchema,
  /** Which run of the tracker; its shape is the plugin's own and the plugin validates it. */
  run: z
    .record(z.string(), z.unknown())
    .refine(isShort, `must be at most ${longestTarget} characters of JSON`)
    .default({}),
  /**
   * `in_process`: the training process itself logs there what the collector returns to it, and the collector pushes nothing.
   * Other modes are the plugin's own.
   */
  mode: z.string().min(1).max(64).optional(),
});
/** The mode in which nothing is pushed. */
export const inProcessMode = "in_process";
export type TrackerTarget = z.infer<typeof trackerTargetSchema>;

/** Body of `PUT /v1/runs/{run}`. */
export const runDeclarationSchema = z
  .strictObject({
    project: identifierSchema,
    /** Shown to people; free text. */
    name: z.string().min(1).max(256).optional(),
    /** Runs of one group are overlaid and share a frontier. */
    group: identifierSchema.optional(),
    unit: unitSchema.default("example"),
    trackers: z.array(trackerTargetSchema).max(4, "must name at most 4 trackers").optional(),
    optimizer: z.enum(["sgd", "adam", "other"]).optional(),
    /** Units in a data set that is drawn without replacement; corrects |G|² by tr Σ/N. */
    dataset_units: units.optional(),
    batch_multiple: z.number().int().positive().optional(),
    batch_min: units.optional(),
    batch_max: units.optional(),
    /** Cost of a step's latency over the cost of a unit [units]. */
    latency_ratio: units.optional(),
    tags: namedValues(z.string().max(1024), { maxNames: 64, maxNameLength: 128 }).optional(),
  })
  .refine((run) => run.batch_min === undefined || run.batch_max === undefined || run.batch_min <= run.batch_max, {
    path: ["batch_min"],
    message: "must not be above batch_max",
  });
export type RunDeclaration = z.output<typeof runDeclarationSchema>;
/** The declaration as it is sent: names and values as plain objects, defaults left out. */
export type RunDeclarationInput = Omit<z.input<typeof runDeclarationSchema>, "tags"> & {
  tags?: Readonly<Record<string, string>>;
};
