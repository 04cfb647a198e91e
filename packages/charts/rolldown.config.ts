import { defineConfig } from "rolldown";

const resolve = { conditionNames: ["@noisescale/source", "import", "default"] };

export default defineConfig([
  {
    // Chart.js and the panels in one script, which a page that stands alone holds in itself.
    input: "src/browser/panels.ts",
    platform: "browser",
    resolve,
    output: { file: "dist/bundle/panels.js", format: "iife", minify: true, comments: false },
  },
  {
    // The same for TensorBoard's tab, into the Python package that serves it.
    input: "src/browser/tensorboard-tab.ts",
    platform: "browser",
    resolve,
    output: {
      file: "../../plugins/hook-python/src/noisescale/tensorboard_plugin/tab.js",
      format: "es",
      minify: true,
      comments: false,
    },
  },
]);
