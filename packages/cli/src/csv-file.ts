import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { CsvError, type Info, parse } from "csv-parse/sync";
import { CommandError, type Terminal } from "./command.ts";

/** Columns of a file; others are refused, since a misspelt one would be left out unseen. */
export interface CsvColumns {
  readonly required: readonly string[];
  readonly optional: readonly string[];
}

/** Broken lines that are named before reading stops. */
export const mostProblems = 10;

/** @param file - path, or `-` for standard input. @throws CommandError where it cannot be read */
export async function textOfFile(file: string, terminal: Terminal): Promise<string> {
  if (file === "-") return text(terminal.input);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(code === "ENOENT" ? `There is no file ${file}.` : `${file} cannot be read: ${message}`);
  }
}

export type CsvRecord = Readonly<Record<string, string | undefined>>;

/** @throws CommandError where the content is no CSV, or has other columns */
export function csvRecords(
  content: string,
  name: string,
  columns: CsvColumns,
): { readonly record: CsvRecord; readonly line: number }[] {
  try {
    const read: unknown = parse(content, {
      bom: true,
      trim: true,
      skip_empty_lines: true,
      info: true,
      columns: (header: string[]) => checkedHeader(header, name, columns),
    });
    return (read as { record: CsvRecord; info: Info }[]).map(({ record, info }) => ({ record, line: info.lines }));
  } catch (error) {
    if (error instanceof CsvError) throw new CommandError(`${name} cannot be read:\n  ${error.message}`);
    throw error;
  }
}

function checkedHeader(header: string[], name: string, { required, optional }: CsvColumns): string[] {
  const missing = required.filter((column) => !header.includes(column));
  const unknown = header.filter((column) => ![...required, ...optional].includes(column));
  const twice = header.filter((column, index) => header.indexOf(column) !== index);
  const problem =
    missing.length > 0
      ? `column ${missing.join(", ")} is missing`
      : unknown.length > 0
        ? `column ${unknown.map((column) => JSON.stringify(column)).join(", ")} is not known`
        : twice.length > 0
          ? `column ${twice.join(", ")} stands there twice`
          : undefined;
  if (problem === undefined) return header;
  throw new CommandError(
    `${name} cannot be read:\n  line 1: ${problem}; the header is ${required.join(",")}[,${optional.join(",")}]`,
  );
}
