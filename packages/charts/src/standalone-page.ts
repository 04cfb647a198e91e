import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { panelStyle } from "./standalone-style.ts";

const bundle = fileURLToPath(new URL("../dist/bundle/panels.js", import.meta.url));
let script: string | undefined;

/** A page's words; all of them text, never markup. */
export interface StandalonePage {
  readonly name: string;
  readonly headline: string;
  readonly basis: string;
  readonly panels: readonly StandalonePanel[];
  /** What the script draws from: the element that it looks for, and its content. */
  readonly data: { readonly element: "panel-data" | "sweep-data"; readonly content: unknown };
}

export interface StandalonePanel {
  readonly panel: string;
  readonly title: string;
  readonly subtitle: string;
  readonly text: string;
  /** Why there is nothing to draw; undefined where there is. */
  readonly missing: string | undefined;
}

/**
 * One HTML page with script and data inside: it opens from a disk, from an artifact store, or in a sandboxed frame without
 * a network.
 *
 * @throws Error where the script was not bundled
 */
export function renderStandalonePage({ name, headline, basis, panels, data }: StandalonePage): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Noise scale: ${escapeHtml(name)}</title>
<style>${panelStyle}</style>
</head>
<body>
<p class="name">${escapeHtml(name)}</p>
<h1>${escapeHtml(headline)}</h1>
<p>${escapeHtml(basis)}</p>
<main>
${panels.map(section).join("\n")}
</main>
<script type="application/json" id="${data.element}">${scriptText(JSON.stringify(data.content))}</script>
<script>${panelScript()}</script>
</body>
</html>
`;
}

function section({ panel, title, subtitle, text, missing }: StandalonePanel): string {
  const words = escapeHtml(text);
  return `<section>
<h2>${escapeHtml(title)}</h2>
<p>${escapeHtml(subtitle)}</p>
${missing === undefined ? `<div class="chart"><canvas data-panel="${panel}" role="img" aria-label="${words}"></canvas></div>` : `<p class="missing">${escapeHtml(missing)}</p>`}
<p class="text">${words}</p>
</section>`;
}

function panelScript(): string {
  if (script === undefined) {
    if (!existsSync(bundle))
      throw new Error("The panels' script is not built: run `npx pnpm@12 run bundle` in the checkout.");
    script = readFileSync(bundle, "utf8").replaceAll("</script", "<\\/script");
  }
  return script;
}

/** JSON inside a script element: no text of it can end the element or start a comment. */
function scriptText(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`);
}
