import { describe, expect, it } from "vitest";
import { estimateText, numberText, shortText, squareText, timesText } from "../src/number-text.ts";

describe("numbers for people", () => {
  it("keeps every digit of a batch size and groups them", () => {
    expect([448, 2439, 524_288].map(numberText)).toEqual(["448", "2,439", "524,288"]);
  });

  it("rounds an estimate to three significant digits", () => {
    expect([0.012345, 43.21, 2439, 843_729].map(estimateText)).toEqual(["0.0123", "43.2", "2,440", "844,000"]);
  });

  it("has words for millions and billions", () => {
    expect([1_048_576, 6.28e9].map(numberText)).toEqual(["1.05 million", "6.28 billion"]);
  });

  it("has short forms for ticks", () => {
    expect([0, 0.05, 5000, 20_000, 3e6, 2e10, 1e18, 1e-6].map(shortText)).toEqual([
      "0",
      "0.05",
      "5000",
      "20k",
      "3M",
      "20G",
      "1e18",
      "1e-6",
    ]);
  });

  it("shows a square of any size", () => {
    expect([0.0924, 54.84, 2.3234e-5].map(squareText)).toEqual(["0.0924", "54.8", "2.32e-5"]);
  });

  it("shows a multiple with two decimals below ten", () => {
    expect([0.4755, 1.5, 12.3].map(timesText)).toEqual(["0.48×", "1.50×", "12×"]);
    expect([2.5e6, 3e307, Number.POSITIVE_INFINITY].map(timesText)).toEqual(["2.5M×", "3e307×", "over 1e308×"]);
  });
});
