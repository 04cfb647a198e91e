import { criticalBatchSizePowerLaw, fitFrontier } from "@noisescale/statistics";
import type { SweepData, SweepTarget } from "../src/index.ts";

const batchSizes = [16, 64, 256, 1024, 4096];

/** A target whose three seeds differ by a tenth; none but one reach it at the largest batch size. */
function targetOf(target: number, minSteps: number, criticalBatchSize: number): SweepTarget {
  const found = fitFrontier(
    batchSizes.flatMap((batchSize) =>
      [0.9, 1, 1.1].map((factor, seed) => ({
        batchSize,
        steps: batchSize === 4096 && seed > 0 ? undefined : minSteps * (1 + criticalBatchSize / batchSize) * factor,
      })),
    ),
  );
  if (!found.fitted) throw new Error(found.reason);
  return { ...found, target };
}

export function sweepOf(targets: readonly SweepTarget[], name = "sweep.csv"): SweepData {
  const losses = targets.map(({ target, criticalBatchSize }) => ({ loss: target, criticalBatchSize }));
  return { name, unit: "example", targets, powerLaw: criticalBatchSizePowerLaw(losses) };
}

export const targets: readonly SweepTarget[] = [targetOf(1, 50, 40), targetOf(0.5, 90, 160), targetOf(0.25, 200, 640)];

export const sweep: SweepData = sweepOf(targets);
