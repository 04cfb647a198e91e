import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const names = ["chromium", "chromium-browser", "google-chrome"];

/** The system's browser; `CHROMIUM` names another one. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env["CHROMIUM"] ?? onPath(), args: ["--no-sandbox"] });
}

/** @throws Error where there is no browser */
function onPath(): string {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const path of names.map((name) => join(directory, name))) {
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // The next directory may have it.
      }
    }
  }
  throw new Error(
    "No Chromium is on PATH: install it (Debian, Ubuntu: apt-get install chromium), or name it in CHROMIUM.",
  );
}
