import { defineConfig } from "vitest/config";

// Unit tests resolve the sources; end-to-end tests (test/) run the command as a user does.
const source = {
  resolve: { conditions: ["@noisescale/source"] },
  ssr: { resolve: { conditions: ["@noisescale/source"] } },
};

export default defineConfig({
  test: {
    projects: [
      {
        ...source,
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "plugins/*/test/**/*.test.ts", "server/test/**/*.test.ts"],
          exclude: ["**/*.integration.test.ts", "**/node_modules/**"],
        },
      },
      {
        ...source,
        test: {
          name: "integration",
          include: [
            "packages/*/test/**/*.integration.test.ts",
            "plugins/*/test/**/*.integration.test.ts",
            "server/test/**/*.integration.test.ts",
          ],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        ...source,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
