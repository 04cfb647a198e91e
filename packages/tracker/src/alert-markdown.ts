import type { TrackerAlert } from "./tracker.ts";

/** An alert for a tracker that renders Markdown: title and text stay words, whatever a run is called. */
export function alertMarkdown({ title, text, link }: Pick<TrackerAlert, "title" | "text" | "link">): string {
  const more = link === undefined ? [] : [`<${link}>`];
  return [`**${escaped(title)}**`, escaped(text), ...more].join("\n\n");
}

/** Backslashes where every dialect knows them, else entities: `\<` is no escape in Python's. */
function escaped(text: string): string {
  return text
    .replace(/[\\`*_{}[\]()#+\-.!]/g, (mark) => `\\${mark}`)
    .replace(/[<>&|~]/g, (mark) => `&#${mark.charCodeAt(0)};`)
    .replace(/\s+/g, " ");
}
