/** What the address bar names. */
export type Place =
  | { readonly kind: "runs" }
  | { readonly kind: "alerts" }
  | { readonly kind: "run"; readonly run: string }
  | { readonly kind: "group"; readonly group: string }
  | { readonly kind: "unknown" };

export function placeOf(path: string): Place {
  if (path === "/") return { kind: "runs" };
  if (path === "/alerts") return { kind: "alerts" };
  const match = /^\/(runs|groups)\/([^/]+)\/?$/.exec(path);
  const name = match?.[2] === undefined ? undefined : decode(match[2]);
  if (name === undefined) return { kind: "unknown" };
  return match?.[1] === "runs" ? { kind: "run", run: name } : { kind: "group", group: name };
}

export function runPath(run: string): string {
  return `/runs/${encodeURIComponent(run)}`;
}

export function groupPath(group: string): string {
  return `/groups/${encodeURIComponent(group)}`;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
