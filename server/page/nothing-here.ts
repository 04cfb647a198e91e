import { element } from "./element.ts";
import type { View } from "./view.ts";

/** In place of a view that cannot be shown: why, and where to go. */
export function showNothing({ main }: View, reason: string): void {
  document.title = "Not here · noisescale";
  main.replaceChildren(
    element(
      "section",
      { class: "nothing" },
      element("h1", {}, "Nothing here"),
      element("p", {}, reason),
      element("p", {}, element("a", { href: "/" }, "All runs")),
    ),
  );
}
