/** A batch size, a step or a count for people: every digit up to a million, thousands grouped; then in words. */
export function numberText(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${significant(value / 1e9)} billion`;
  if (size >= 1e6) return `${significant(value / 1e6)} million`;
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return significant(value);
}

/** An estimate for people: three significant digits, thousands grouped; from a million on in words. */
export function estimateText(value: number): string {
  const size = Math.abs(value);
  return size >= 1000 && size < 1e6 ? numberText(Number(value.toPrecision(3))) : numberText(value);
}

/** A tick or a small figure: 20k, 0.05, 3M; powers of ten where digits would run long. */
export function shortText(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return value.toExponential(0).replace("e+", "e");
  if (size >= 1e9) return `${significant(value / 1e9)}G`;
  if (size >= 1e6) return `${significant(value / 1e6)}M`;
  if (size >= 1e4) return `${significant(value / 1e3)}k`;
  return significant(value);
}

/** A gradient's square, which has no natural size. */
export function squareText(value: number): string {
  const size = Math.abs(value);
  return size >= 0.001 && size < 1e5 ? significant(value) : value.toExponential(2);
}

/** A learning rate or a temperature: three significant digits, with a power of ten where zeros would run long. */
export function rateText(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-3 ? Number(value.toPrecision(3)).toExponential() : significant(value);
}

/** A multiple such as 0.45×, 12× or 3e307×; one that is too large for a number is named by what it is beyond. */
export function timesText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "over 1e308×";
  if (value >= 1e6) return `${shortText(value)}×`;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(2)}×`;
}

function significant(value: number): string {
  return String(Number(value.toPrecision(3)));
}
