import type { Problem } from "@noisescale/protocol";

/** A request that is answered by a problem (RFC 9457). */
export class ProblemError extends Error {
  override readonly name: string = "ProblemError";
  readonly problem: Problem;

  constructor(status: number, title: string, detail: string, errors?: Problem["errors"]) {
    super(detail);
    this.problem = {
      type: "about:blank",
      title,
      status,
      detail,
      ...(errors === undefined || errors.length === 0 ? {} : { errors }),
    };
  }
}

export class UnknownRunError extends ProblemError {
  override readonly name = "UnknownRunError";

  constructor(run: string) {
    super(404, "No such run", `There is no run ${JSON.stringify(run)}: declare it with PUT /v1/runs/{run}`);
  }
}

/** The request's fields are at fault. */
export function notUnderstood(errors: NonNullable<Problem["errors"]>, what: string): ProblemError {
  const places = errors.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  return new ProblemError(400, "Not understood", `${what} is not understood: ${places.join("; ")}`, errors);
}
