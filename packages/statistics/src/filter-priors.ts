import { experts } from "./filter-experts.ts";

/** Measurements that are kept before the filter starts. */
export const startMeasurements = 20;

const weightSum = experts.reduce((sum, expert) => sum + expert.priorWeight, 0);

/** Prior weight of each expert; they sum to 1. */
export const priors: Float64Array = Float64Array.from(experts, (expert) => expert.priorWeight / weightSum);
export const logPriors: Float64Array = priors.map(Math.log);

/** Variance of each expert's drift at a start or restart. */
export const startDriftVariances: Float64Array = Float64Array.from(experts, (expert) => expert.startDrift ** 2);

/** Of each expert's standard deviation in the interval. */
export const widenings: Float64Array = Float64Array.from(experts, (expert) => expert.widening);
