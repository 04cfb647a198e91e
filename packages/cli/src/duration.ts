import { UsageError } from "./command.ts";

const secondsByUnit: Readonly<Record<string, number>> = { h: 3600, d: 86_400, w: 604_800 };

/** `12h`, `30d` or `8w` in milliseconds. */
export function parseDurationMs(text: string, option: string): number {
  const match = /^(\d+)([hdw])$/.exec(text);
  const seconds = secondsByUnit[match?.[2] ?? ""];
  if (match === null || seconds === undefined) {
    throw new UsageError(
      `--${option} must be a number of hours, days or weeks such as 12h, 30d or 8w, not ${JSON.stringify(text)}`,
    );
  }
  return Number(match[1]) * seconds * 1000;
}
