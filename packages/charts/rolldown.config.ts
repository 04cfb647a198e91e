import { defineConfig } from "rolldown";

/** Chart.js and the panels in one script, which a page that stands alone holds in itself. */
export default defineConfig({
  input: "src/browser/panels.ts",
  platform: "browser",
  resolve: { conditionNames: ["@noisescale/source", "import", "default"] },
  output: { file: "dist/bundle/panels.js", format: "iife", minify: true, comments: false },
});
