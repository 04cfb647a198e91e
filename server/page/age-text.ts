const units: readonly (readonly [milliseconds: number, name: string])[] = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1000, "second"],
];

/** How long ago something was, for people: "3 minutes ago". @param ageMs - [ms]; clocks may differ, so it may be below 0 */
export function ageText(ageMs: number): string {
  for (const [milliseconds, name] of units) {
    const count = Math.floor(ageMs / milliseconds);
    if (count >= 1) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}
