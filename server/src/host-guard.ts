import type { RequestHandler } from "express";
import { ProblemError } from "./problem.ts";

/**
 * Lets through only requests that were meant for this collector: a page of another site cannot read or write it by pointing
 * its own name at this address (DNS rebinding), nor by a request from the user's browser.
 *
 * @param allowedHosts - names beside the loopback ones, without port
 * @param publicOrigin - of the address under which a proxy shows the collector
 */
export function hostGuard(allowedHosts: readonly string[], publicOrigin: string | undefined): RequestHandler {
  const listed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  if (publicOrigin !== undefined) listed.add(new URL(publicOrigin).hostname);
  return (request, _response, next) => {
    const host = request.headers.host ?? "";
    const name = hostName(host);
    if (name === undefined || !(isLoopback(name) || listed.has(name))) {
      throw new ProblemError(
        403,
        "Host not allowed",
        `The host ${JSON.stringify(host)} is not one of this collector's: add its name to "allowed_hosts" in noisescale.config.json, or use the loopback address`,
      );
    }
    // A picture or a script of another site asks without an Origin; browsers say so in this header. Following a link is fine.
    const site = request.headers["sec-fetch-site"];
    if ((site === "cross-site" || site === "same-site") && request.headers["sec-fetch-mode"] !== "navigate") {
      throw new ProblemError(403, "Foreign page", "Requests that a page of another site makes are refused");
    }
    const { origin } = request.headers;
    if (origin !== undefined && origin !== publicOrigin && !isSameHost(origin, host)) {
      throw new ProblemError(
        403,
        "Foreign origin",
        `Requests from pages of ${JSON.stringify(origin)} are refused: only the collector's own page may call it (behind a proxy, set "public_url" in noisescale.config.json)`,
      );
    }
    next();
  };
}

export function isLoopback(name: string): boolean {
  return name === "localhost" || name.endsWith(".localhost") || name === "[::1]" || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Name of a `Host` header, lower-case and without port; undefined where it is malformed. */
function hostName(host: string): string | undefined {
  if (!/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(host)) return undefined;
  return host.replace(/:\d{1,5}$/, "").toLowerCase();
}

function isSameHost(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host.toLowerCase().replace(/:(80)$/, "");
}
