/** Ends of a logarithmic axis. */
export interface LogRange {
  readonly min: number;
  readonly max: number;
}

/** The smallest range that ends at 1, 2 or 5 times a power of ten and holds every value; values ≤ 0 have no place in it. */
export function logRange(values: Iterable<number | null | undefined>, otherwise: LogRange): LogRange {
  let min = Number.POSITIVE_INFINITY;
  let max = 0;
  for (const value of values) {
    if (value === null || value === undefined || !(value > 0) || value === Number.POSITIVE_INFINITY) continue;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  if (max === 0) return otherwise;
  const [low, high] = [stepDown(min), stepUp(max)];
  return low < high ? { min: low, max: high } : { min: low / 2, max: high * 2 };
}

/** Fewer would not tell how an axis runs. */
const fewestTicks = 3;

/**
 * Ticks at 1, 2 and 5 times the powers of ten; over many decades only at some of them, over less than one at more, and
 * between these at even distances.
 */
export function logTicks(range: LogRange): number[] {
  const decades = Math.log10(range.max / range.min);
  const usual = decades > 4.5 ? [1] : decades > 3 ? [1, 3] : [1, 2, 5];
  const found = [usual, [1, 1.5, 2, 3, 4, 5, 7]].map((digits) => ticksAt(digits, range));
  return found.find(({ length }) => length >= fewestTicks) ?? evenTicks(range);
}

/** At 1, 2 or 5 times a power of ten apart, about five of them. */
function evenTicks({ min, max }: LogRange): number[] {
  const apart = stepDown((max - min) / 4);
  const first = Math.ceil(min / apart - 0.001);
  const last = Math.floor(max / apart + 0.001);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, place) =>
    Number(((first + place) * apart).toPrecision(12)),
  );
}

/** At these multiples of the powers of ten. */
function ticksAt(digits: readonly number[], { min, max }: LogRange): number[] {
  const decades = Math.log10(max / min);
  const every = decades > 12 ? Math.ceil(decades / 6) : 1;
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power += every) {
    for (const digit of digits) {
      const tick = Number(`${digit}e${power}`);
      if (tick >= min * 0.999 && tick <= max * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

function stepDown(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = [5, 2, 1].find((candidate) => candidate * power <= value * 1.0001) ?? 1;
  return digit * power;
}

function stepUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = [1, 2, 5, 10].find((candidate) => candidate * power >= value * 0.9999) ?? 10;
  return digit * power;
}
