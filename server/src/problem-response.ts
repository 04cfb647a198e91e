import type { ErrorRequestHandler, RequestHandler } from "express";
import type { Logger } from "pino";
import { notUnderstood, ProblemError } from "./problem.ts";

/** No route took the request. */
export const notFound: RequestHandler = (request) => {
  throw new ProblemError(404, "Not found", `There is nothing at ${request.method} ${request.path}: see /openapi.json`);
};

/** Answers every error as `application/problem+json` (RFC 9457); what is not the sender's fault is logged. */
export function problemResponse(logger: Logger, bodyLimitBytes: number): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const { problem } = toProblem(error, bodyLimitBytes);
    if (problem.status >= 500) logger.error({ err: error, method: request.method, path: request.path }, problem.title);
    response.status(problem.status).type("application/problem+json").send(JSON.stringify(problem));
  };
}

function toProblem(error: unknown, bodyLimitBytes: number): ProblemError {
  if (error instanceof ProblemError) return error;
  const status = statusOf(error);
  if (status === 413) {
    return new ProblemError(
      413,
      "Body too large",
      `The body is larger than ${bodyLimitBytes} bytes: send fewer records at a time, or raise "limits.body_bytes" in noisescale.config.json`,
    );
  }
  if (error instanceof URIError) {
    return notUnderstood(
      [{ path: "", message: "a percent sign in it begins no UTF-8 character: encode names" }],
      "The address",
    );
  }
  if (status === 415) {
    return new ProblemError(
      415,
      "Encoding not taken",
      "The body's content encoding is not known here: send it plain, gzip, deflate or br",
    );
  }
  if (status !== undefined) {
    return new ProblemError(
      status,
      "Not understood",
      error instanceof Error ? error.message : "The request is malformed",
    );
  }
  return new ProblemError(
    500,
    "Internal error",
    "The collector failed at this request: its log says why. Nothing of it was stored; it can be sent again",
  );
}

/** Status of the errors that express and its body reader throw for malformed requests. */
function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("status" in error)) return undefined;
  const { status } = error;
  return typeof status === "number" && status >= 400 && status < 500 ? status : undefined;
}
