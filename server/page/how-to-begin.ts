import { element } from "./element.ts";

/** What a collector without a run says. @param origin - its own address */
export function howToBegin(origin: string): HTMLElement {
  const measurement = JSON.stringify({
    measurements: [
      {
        step: 0,
        time_ms: 0,
        small: { batch_size: 32, squared_norm: 1.9, count: 4 },
        big: { batch_size: 128, squared_norm: 0.8 },
      },
    ],
  });
  return element(
    "section",
    { class: "begin" },
    element("h1", {}, "No run yet"),
    element(
      "p",
      {},
      "This page follows training runs while they train, and says which batch size would pay. A run appears here with its first measurement.",
    ),
    element(
      "ol",
      {},
      element("li", {}, element("h2", {}, "See one now"), element("pre", { tabindex: "0" }, "npx pnpm@12 demo")),
      element(
        "li",
        {},
        element("h2", {}, "Or measure your own training"),
        element(
          "p",
          {},
          "A training hook sends two squared gradient norms a step, and nothing else. It needs this address:",
        ),
        element("pre", { tabindex: "0" }, origin),
      ),
      element(
        "li",
        {},
        element("h2", {}, "Or send them yourself, from any language"),
        element(
          "pre",
          { tabindex: "0" },
          [
            `curl -X PUT ${origin}/v1/runs/my-run \\`,
            `  -H 'content-type: application/json' -d '{"project":"my-project"}'`,
            `curl ${origin}/v1/runs/my-run/measurements \\`,
            `  -H 'content-type: application/json' -d '${measurement}'`,
          ].join("\n"),
        ),
        element(
          "p",
          {},
          "Every field is described in ",
          element("a", { href: "/openapi.json", "data-leave": true }, "openapi.json"),
          ".",
        ),
      ),
    ),
  );
}
