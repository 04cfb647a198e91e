import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";

const screenshots = fileURLToPath(new URL("./screenshots/", import.meta.url));

/** The system's Chromium; `CHROMIUM` names another one. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export interface WatchedPage {
  readonly page: Page;
  /** Errors of the page's scripts and of its console. */
  readonly errors: string[];
  /** Requests that left the collector. */
  readonly foreign: string[];
}

/** A page whose errors and requests are written down. */
export async function watchedPage(
  browser: Browser,
  origin: string,
  options: {
    readonly width: number;
    readonly colorScheme?: "light" | "dark";
    readonly account?: { readonly username: string; readonly password: string } | undefined;
  },
): Promise<WatchedPage> {
  const page = await browser.newPage({
    viewport: { width: options.width, height: 900 },
    colorScheme: options.colorScheme ?? "light",
    ...(options.account === undefined ? {} : { httpCredentials: options.account }),
  });
  const [errors, foreign]: [string[], string[]] = [[], []];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(origin)) foreign.push(request.url());
  });
  return { page, errors, foreign };
}

export async function screenshot(page: Page, name: string): Promise<void> {
  await mkdir(screenshots, { recursive: true });
  await page.screenshot({ path: `${screenshots}${name}.png`, fullPage: true });
}

/** A figure of the run's page by its label. */
export async function figure(page: Page, label: string): Promise<string> {
  const box = page.locator(".figure", { has: page.getByText(label, { exact: true }) });
  return (await box.locator(".figure-value").textContent()) ?? "";
}
