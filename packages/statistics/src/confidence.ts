/** Probability with which every interval of this package is meant to hold its value. */
export const confidence = 0.95;
