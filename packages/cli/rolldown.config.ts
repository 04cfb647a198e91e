import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "rolldown";

const root = fileURLToPath(new URL("../../", import.meta.url));
const page = join(root, "server/dist/page");
const panels = join(root, "packages/charts/dist/bundle/panels.js");
/** Of a module in it. */
const packageFolder = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/;

/** What the sources say of the files that they serve or inline, and where these lie beside the bundle. */
const places: Readonly<Record<string, string>> = {
  'new URL("../../dist/page/", import.meta.url)': 'new URL("./page/", import.meta.url)',
  'new URL("../dist/bundle/panels.js", import.meta.url)': 'new URL("./panels.js", import.meta.url)',
};

/** The collector with its page, and the command, as files of the Python package, which a Node without packages runs. */
export default defineConfig({
  input: {
    main: "src/main-of-wheel.ts",
    "panel-thread": join(root, "server/src/panels/panel-thread.ts"),
  },
  platform: "node",
  // What it draws with is native, so that no picture is drawn here.
  external: ["@noisescale/charts/png"],
  // Neither "import" nor "require", which each import and each `require` adds of its own.
  resolve: { conditionNames: ["@noisescale/source", "node", "default"] },
  output: {
    dir: join(root, "plugins/hook-python/src/noisescale/command/bundle"),
    format: "esm",
    minify: true,
    comments: false,
    cleanDir: true,
    // Beside each other, since the code finds its files from where it lies.
    chunkFileNames: "shared-[name].js",
  },
  plugins: [filesBesideTheBundle(), licences()],
});

function filesBesideTheBundle(): Plugin {
  const moved = new Set<string>();
  return {
    name: "files-beside-the-bundle",
    transform(code) {
      let changed = code;
      for (const [written, there] of Object.entries(places)) {
        if (changed.includes(written)) moved.add(written);
        changed = changed.replace(written, there);
      }
      return changed === code ? null : changed;
    },
    generateBundle() {
      for (const written of Object.keys(places))
        if (!moved.has(written)) this.error(`No source says ${written} any more.`);
      if (!existsSync(panels)) this.error("The panels come first: run `npx pnpm@12 run bundle` in the root.");
      this.emitFile({ type: "asset", fileName: "panels.js", source: readFileSync(panels) });
      this.emitFile({ type: "asset", fileName: "package.json", source: '{ "type": "module" }\n' });
      for (const name of globSync("**/*.*", { cwd: page })) {
        this.emitFile({ type: "asset", fileName: `page/${name}`, source: readFileSync(join(page, name)) });
      }
    },
  };
}

/** The licences of what is in the bundle and in the page, in one file, as most of them ask for. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_options, bundle) {
      const ids = Object.values(bundle).flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
      const charts = createRequire(join(root, "packages/charts/package.json"));
      ids.push(charts.resolve("inter-ui/web/Inter-Regular.woff2"), charts.resolve("chart.js"));
      ids.push(createRequire(charts.resolve("chart.js")).resolve("@kurkle/color"));
      const folders = new Set(ids.flatMap((id) => packageFolder.exec(id)?.[0] ?? []));
      const texts = [...folders].map((folder) => {
        const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
        if (file === undefined) return this.error(`${name} ${version} has no file with its licence.`);
        return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
      });
      const source = texts.sort().join(`\n${"-".repeat(80)}\n\n`);
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}
