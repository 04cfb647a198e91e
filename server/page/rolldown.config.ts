import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { defineConfig } from "rolldown";

const require = createRequire(import.meta.url);
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Parts of the one style sheet, in this order: where two rules weigh the same, the later one stands. */
const styles = [
  "tokens",
  "base",
  "bar",
  "run",
  "panels",
  "tables",
  "records",
  "states",
  "alerts",
  "run-list",
  "group-frontier",
  "nothing-here",
  "hidden",
].map((concept) => here(`style/${concept}.css`));

/** Files that go beside the script as they are. */
const files: Readonly<Record<string, string>> = {
  "index.html": here("index.html"),
  "assets/favicon.svg": here("favicon.svg"),
  "assets/inter-regular.woff2": require.resolve("inter-ui/web/Inter-Regular.woff2"),
  "assets/inter-semibold.woff2": require.resolve("inter-ui/web/Inter-SemiBold.woff2"),
};

/** The page: one script, one style sheet, one font, all from the collector itself. */
export default defineConfig({
  input: here("page.ts"),
  platform: "browser",
  resolve: { conditionNames: ["@noisescale/source", "import", "default"] },
  output: {
    dir: here("../dist/page"),
    entryFileNames: "assets/page.js",
    format: "esm",
    minify: true,
    comments: false,
    cleanDir: true,
    codeSplitting: false,
  },
  plugins: [
    {
      name: "files-as-they-are",
      generateBundle() {
        for (const [fileName, path] of Object.entries(files)) {
          this.emitFile({ type: "asset", fileName, source: readFileSync(path) });
        }
        const sheet = styles.map((path) => readFileSync(path, "utf8")).join("\n");
        this.emitFile({ type: "asset", fileName: "assets/page.css", source: sheet });
      },
    },
  ],
});
