/** Size of the drawing [pixels]. */
export const sparkWidth = 96;
export const sparkHeight = 24;
const margin = 2;

/** Stretches of a spark line on a logarithmic scale, as points of a path; a value that is unknown or ≤ 0 is a gap. */
export function sparkPath(values: readonly (number | null)[]): string {
  const logs = values.map((value) => (value !== null && value > 0 ? Math.log(value) : undefined));
  const known = logs.filter((value) => value !== undefined);
  if (known.length === 0) return "";
  const low = Math.min(...known);
  // A change of less than a tenth is drawn as the flat line that it is.
  const span = Math.max(Math.max(...known) - low, 0.1);
  const across = (sparkWidth - 2 * margin) / Math.max(1, values.length - 1);
  let path = "";
  let drawing = false;
  logs.forEach((value, index) => {
    if (value === undefined) {
      drawing = false;
      return;
    }
    const x = margin + index * across;
    const y = sparkHeight - margin - ((value - low) / span) * (sparkHeight - 2 * margin);
    path += `${drawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    // A single value between two gaps is a dot: a line of no length with round ends.
    if (!drawing && logs[index + 1] === undefined) path += "h0";
    drawing = true;
  });
  return path;
}
