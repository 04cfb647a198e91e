import type { PanelPoint } from "../panel-frame.ts";

/** The hyperbola (S/S_min − 1)(E/E_min − 1) = 1. */
export interface FrontierShape {
  readonly minSteps: number;
  readonly minUnits: number;
}

const curvePoints = 120;

/** Steps and units at a batch size. */
export function pointAt({ minSteps, minUnits }: FrontierShape, batchSize: number): { x: number; y: number } {
  const critical = minUnits / minSteps;
  return { x: minSteps * (1 + critical / batchSize), y: minUnits * (1 + batchSize / critical) };
}

/** From the larger batch size, which takes the fewest steps, to the smaller. */
export function curveBetween(frontier: FrontierShape, smallest: number, largest: number): PanelPoint[] {
  return Array.from({ length: curvePoints }, (_, index) =>
    pointAt(frontier, largest * (smallest / largest) ** (index / (curvePoints - 1))),
  );
}

/** Units that a number of steps takes; infinite where there are too few. */
export function unitsAt({ minSteps, minUnits }: FrontierShape, steps: number): number {
  return steps <= minSteps ? Number.POSITIVE_INFINITY : minUnits * (1 + 1 / (steps / minSteps - 1));
}
