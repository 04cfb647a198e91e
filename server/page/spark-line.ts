import { svgElement } from "./element.ts";
import { sparkHeight, sparkPath, sparkWidth } from "./spark-path.ts";

/** B_simple over the run, small; its numbers stand beside it, so that it is hidden from those who do not see it. */
export function sparkLine(values: readonly (number | null)[]): SVGSVGElement {
  return svgElement(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${sparkWidth} ${sparkHeight}`,
      width: String(sparkWidth),
      height: String(sparkHeight),
      "aria-hidden": "true",
    },
    svgElement("path", { d: sparkPath(values) }),
  );
}
