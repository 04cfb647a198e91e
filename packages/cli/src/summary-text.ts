import { headline, type PanelSnapshot, summaryRows } from "@noisescale/charts";

const lineWidth = 96;

/** A snapshot in words and a table, for a terminal. */
export function summaryText(snapshot: PanelSnapshot): string {
  const { sentence, basis } = headline(snapshot);
  const rows = summaryRows(snapshot);
  const labelWidth = Math.max(...rows.map(({ label }) => label.length));
  const valueWidth = Math.max(...rows.map(({ value }) => value.length));
  const table = rows.map(
    ({ label, value, detail }) => `  ${label.padEnd(labelWidth)}  ${value.padStart(valueWidth)}  ${detail}`,
  );
  return [sentence, ...wrap(basis), "", ...table, ""].join("\n");
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length >= lineWidth) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
