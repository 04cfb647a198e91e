import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import express, { type RequestHandler, Router } from "express";

const bundle = fileURLToPath(new URL("../../dist/page/", import.meta.url));

/** The page may run its own scripts and ask its own collector, nothing else. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "frame-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The live page; its own script reads the address. */
export function pageRoutes(): Router {
  const router = Router();
  const page: RequestHandler = (_request, response) => {
    if (!existsSync(`${bundle}index.html`)) {
      response
        .status(503)
        .type("text/plain")
        .send("The page is not built: run `npx pnpm@12 run bundle` in the checkout, then reload.\n");
      return;
    }
    response.set("content-security-policy", contentSecurityPolicy).set("cache-control", "no-cache");
    response.sendFile("index.html", { root: bundle });
  };
  router.get(["/", "/runs/:run", "/groups/:group", "/alerts"], page);
  router.use(
    express.static(bundle, {
      index: false,
      setHeaders: (response) => response.setHeader("cache-control", "no-cache"),
    }),
  );
  return router;
}
