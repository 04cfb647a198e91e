import { z } from "zod";
import { namedValues } from "./named-values.ts";
import { timeMsSchema } from "./time.ts";

/** Longest name of an evaluation [characters]. */
export const longestEvaluationName = 128;

const batchSize = z.number().positive();
const squaredNorm = z.number().nonnegative();

/**
 * Values of a quadratic form q of the same two gradients, in place of their squared norms: the mean of q over small
 * batches of b, and q of the large batch's gradient. The batch sizes may be others than those of the squared norms.
 */
function quadraticForm<Value extends z.ZodNumber>(value: Value) {
  return z
    .strictObject({
      small: z.strictObject({ batch_size: batchSize, value }),
      big: z.strictObject({ batch_size: batchSize, value }),
    })
    .refine(({ small, big }) => small.batch_size < big.batch_size, {
      path: ["small", "batch_size"],
      message: "must be smaller than the form's big.batch_size: one part alone says nothing about the noise",
    });
}

/**
 * What a training hook saw in one optimizer step: the squared norms [gradient²] of a small-batch and of a large-batch
 * gradient, taken at the same weights and at the same stage (before clipping). McCandlish et al. 2018, arXiv:1812.06162.
 */
export const measurementSchema = z
  .strictObject({
    /** Optimizer step, from 0. */
    step: z.number().int().nonnegative(),
    /** Unix epoch [ms]. */
    time_ms: timeMsSchema,
    /** The training process's start [Unix ms]; the highest attempt wins from its first step on. */
    attempt: z.number().int().nonnegative().default(0),
    /** Units that this one step consumed; `big.batch_size` where it is left out. */
    units: batchSize.optional(),
    small: z.strictObject({
      batch_size: batchSize,
      /** Mean of the parts' squared norms (not the square of the mean norm) [gradient²]. */
      squared_norm: squaredNorm,
      /** Number of parts. */
      count: z.number().int().positive(),
    }),
    big: z.strictObject({
      batch_size: batchSize,
      /** Squared norm of the parts' mean [gradient²]. */
      squared_norm: squaredNorm,
    }),
    /** Mean loss per unit over the batch, before the update, unscaled. */
    loss: z.number().optional(),
    learning_rate: z.number().nonnegative().optional(),
    evaluations: namedValues(z.number(), { maxNames: 64, maxNameLength: longestEvaluationName })
      .refine(
        (values) => [...values.keys()].every((name) => name.isWellFormed()),
        "must have names of whole Unicode characters: half of a surrogate pair is none",
      )
      .optional(),
    /** Small and big squared norm of each layer; batch sizes as in the total. */
    layers: namedValues(z.tuple([squaredNorm, squaredNorm]), { maxNames: 512, maxNameLength: 256 }).optional(),
    /** gᵀHg with the loss's Hessian H, of examples that the gradients do not share; of either sign. Gives B_noise. */
    hessian: quadraticForm(z.number()).optional(),
    /** gᵀPg in the optimizer's metric, P = 1/(√v̂ + ε) from before the step's update. */
    preconditioned: quadraticForm(
      z.number().nonnegative("must not be negative: every element of P = 1/(√v̂ + ε) is positive"),
    ).optional(),
  })
  .refine((measurement) => measurement.small.batch_size < measurement.big.batch_size, {
    path: ["small", "batch_size"],
    message: "must be smaller than big.batch_size: one part alone says nothing about the noise",
  });
export type Measurement = z.output<typeof measurementSchema>;

/** A measurement as it is sent: names and values as plain objects, defaults left out. */
export type MeasurementInput = Omit<z.input<typeof measurementSchema>, "evaluations" | "layers"> & {
  evaluations?: Readonly<Record<string, number>>;
  layers?: Readonly<Record<string, readonly [smallSquaredNorm: number, bigSquaredNorm: number]>>;
};

/** Envelope of `POST …/measurements`; each record is validated apart, so that a bad one costs no good one. */
export const measurementBatchSchema = z.strictObject({ measurements: z.array(z.unknown()) });

export const rejectionSchema = z.strictObject({
  /** Place of the record in the request, from 0. */
  index: z.number().int().nonnegative(),
  /** Dotted path of the field, empty for the record itself. */
  path: z.string(),
  message: z.string(),
});
export type Rejection = z.infer<typeof rejectionSchema>;
