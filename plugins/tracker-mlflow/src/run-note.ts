const start = "<!-- noise_scale: written by the collector; text outside these two lines is yours -->";
const end = "<!-- /noise_scale -->";

/** MLflow cuts a run's tag to this without a word [characters]. */
const longestTag = 8000;

/**
 * A run's note with the collector's section in it, everything else as the user wrote it. Where the section would push the
 * note over what a tag holds, it is left out: the user's words come first.
 *
 * @param existing - the note as it is; empty where there is none
 * @param section - markdown
 */
export function noteWithSection(existing: string, section: string): string {
  // A name inside the section must not end it: what followed would count as the user's own words for ever.
  const inner = section.replaceAll("<!--", "&lt;!--").trim();
  const [before, after] = usersWords(existing);
  const note = joined(before, `${start}\n${inner}\n${end}`, after);
  return note.length <= longestTag ? note : joined(before, "", after);
}

/** What stands before and behind the collector's section. */
function usersWords(note: string): readonly [before: string, after: string] {
  const from = note.indexOf(start);
  if (from < 0) return [note, ""];
  const to = note.indexOf(end, from);
  // Its end was removed by hand, or cut off: all behind the start is taken for ours only up to the next blank line.
  const rest = to < 0 ? (/\n\s*\n/.exec(note.slice(from))?.index ?? note.length - from) : to + end.length - from;
  return [note.slice(0, from), note.slice(from + rest)];
}

/** The user's words keep their own blank lines, but for those that part them from the section. */
function joined(before: string, section: string, after: string): string {
  const parts = [before.replace(/\n+$/, ""), section, after.replace(/^\n+/, "")];
  return parts.filter((part) => part !== "").join("\n\n");
}
