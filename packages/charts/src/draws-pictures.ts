import { createRequire } from "node:module";

/**
 * Whether `@noisescale/charts/png` can be loaded: what it draws with is a native package, which an installation of the
 * command by pip leaves out.
 */
export const drawsPictures: boolean = ["@napi-rs/canvas", "inter-ui/web/Inter-Regular.woff2"].every(isInstalled);

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}
