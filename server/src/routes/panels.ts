import { isPanelName, panelMissing, panelNames, panelSubtitle, panelText, panelTitle } from "@noisescale/charts";
import { drawsPictures } from "@noisescale/charts/draws-pictures";
import { Router } from "express";
import { ProblemError } from "../problem.ts";
import type { CollectorContext } from "./collector-context.ts";
import { knownRun } from "./run-parameter.ts";

/** The page that stands alone runs its script cut off from this collector and from everything else. */
const sandbox =
  "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:";

export function panelRoutes({ store, panels }: CollectorContext): Router {
  const router = Router();

  router.get("/v1/runs/:run/panels/:file", async (request, response) => {
    const run = await knownRun(store, request.params["run"]);
    const [, panel, ending] = /^([a-z-]+)\.(json|html|png)$/.exec(request.params["file"]) ?? [];
    if (panel === undefined || !isPanelName(panel)) {
      throw new ProblemError(
        404,
        "No such panel",
        `Panels are ${panelNames.join(", ")}, with the ending .json, .html or .png`,
      );
    }
    const data = await panels.data(run);
    response.set("cache-control", "no-cache");
    if (ending === "png") {
      if (!drawsPictures) {
        throw new ProblemError(
          404,
          "No pictures here",
          "The command as pip installs it leaves out the native package that draws pictures: take .html or .json",
        );
      }
      response.type("image/png").send(Buffer.from(await panels.draw(panel, data, "image/png")));
      return;
    }
    if (ending === "html") {
      response.set("content-security-policy", sandbox);
      response.type("text/html").send(Buffer.from(await panels.draw(panel, data, "text/html")));
      return;
    }
    response.json({
      panel,
      title: panelTitle(panel),
      subtitle: panelSubtitle(panel, data),
      text: panelText(panel, data),
      missing: panelMissing(panel, data) ?? null,
      ...data,
    });
  });

  return router;
}
