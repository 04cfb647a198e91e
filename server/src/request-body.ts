import express, { type Request, type RequestHandler } from "express";
import type { IncomingRecord } from "./ingest-check.ts";
import { ProblemError } from "./problem.ts";

/** Reads the body as bytes, and only if it is of a type that no page of another site can send without being asked. */
export function bodyOf(types: readonly string[], limitBytes: number): RequestHandler {
  const read = express.raw({ type: () => true, limit: limitBytes });
  return (request, response, next) => {
    if (!types.some((type) => request.is(type))) {
      throw new ProblemError(
        415,
        "Content type not taken",
        `The content type is ${JSON.stringify(request.headers["content-type"] ?? "")}: send ${types.join(" or ")}`,
      );
    }
    read(request, response, next);
  };
}

/** @throws ProblemError where the body is not JSON */
export function jsonBody(request: Request): unknown {
  const text = textBody(request);
  try {
    return parseJson(text);
  } catch (error) {
    const reason = text.trim() === "" ? "it is empty" : error instanceof Error ? error.message : "malformed";
    throw new ProblemError(400, "Not JSON", `The body is not JSON: ${reason}`, [{ path: "", message: reason }]);
  }
}

/** Records in one request; a sender of more sends them in parts. */
export const mostRecords = 50_000;

/** @throws ProblemError 413 */
export function requireFewRecords(count: number): void {
  if (count <= mostRecords) return;
  throw new ProblemError(
    413,
    "Too many records",
    `One request takes at most ${mostRecords} records: send them in parts`,
  );
}

/**
 * One record a line; a line that is not JSON is one record that could not be read. Empty lines are no records.
 *
 * @throws ProblemError 413 where there are too many
 */
export function ndjsonBody(request: Request): IncomingRecord[] {
  const text = textBody(request);
  let lines = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines += 1;
  requireFewRecords(lines);
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      try {
        return { value: parseJson(line) };
      } catch (error) {
        return { unreadable: `the line is not JSON: ${error instanceof Error ? error.message : "malformed"}` };
      }
    });
}

function textBody(request: Request): string {
  const body: unknown = request.body;
  return Buffer.isBuffer(body) ? body.toString("utf8") : "";
}

// A string that does not end takes the rest of the text: without that branch each of its quotes would be tried anew.
const notJson = /"(?:[^"\\]|\\[\s\S])*(?:"|\\?$)|-?Infinity|NaN/g;

/**
 * JSON, or JSON with the bare `NaN` and `Infinity` that Python writes: read as the numbers they are, so that the schema can
 * name the field, and the good records beside it are kept.
 */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const marker = `not-finite-${text.length}-`;
    let found = false;
    const marked = text.replace(notJson, (token) => {
      if (token.startsWith('"')) return token;
      found = true;
      return `"${marker}${token}"`;
    });
    if (!found) throw error;
    return JSON.parse(marked, (_key, value: unknown) =>
      typeof value === "string" && value.startsWith(marker) ? Number(value.slice(marker.length)) : value,
    );
  }
}
