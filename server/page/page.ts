import { showAlerts } from "./alerts-view.ts";
import { Announcer } from "./announcer.ts";
import { ConnectionBanner } from "./connection-banner.ts";
import { element } from "./element.ts";
import { showGroup } from "./group-view.ts";
import { showNothing } from "./nothing-here.ts";
import { placeOf } from "./place.ts";
import { showRunList } from "./run-list-view.ts";
import { showRun } from "./run-view.ts";
import type { View } from "./view.ts";

const main = required("main");
const trail = required(".trail");
const banner = new ConnectionBanner(required(".banner"));
const announcer = new Announcer(required(".announcer"));
let leaving = new AbortController();

/** Shows what the address names, in place of what was shown. */
function show(): void {
  leaving.abort();
  leaving = new AbortController();
  banner.show(true);
  announcer.clear();
  trail.replaceChildren();
  const container = element("div", { class: "view" });
  main.replaceChildren(container);
  const view: View = { main: container, trail, banner, announcer, signal: leaving.signal };
  const place = placeOf(location.pathname);
  document.title = "noisescale";
  if (place.kind === "runs") showRunList(view);
  else if (place.kind === "alerts") showAlerts(view);
  else if (place.kind === "run") showRun(view, place.run);
  else if (place.kind === "group") showGroup(view, place.group);
  else showNothing(view, "There is no page at this address.");
}

/** Links inside the page change the view, without a new document. */
function followLink(event: MouseEvent): void {
  if (
    event.defaultPrevented ||
    event.button !== 0 ||
    event.metaKey ||
    event.ctrlKey ||
    event.shiftKey ||
    event.altKey
  ) {
    return;
  }
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (link === null || link.target !== "" || link.hasAttribute("data-leave") || link.origin !== location.origin) return;
  if (placeOf(link.pathname).kind === "unknown" || link.hash !== "") return;
  event.preventDefault();
  if (link.pathname !== location.pathname) history.pushState(null, "", link.pathname);
  show();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function required(selector: string): HTMLElement {
  const found = document.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`The page has no ${selector}.`);
  return found;
}

document.addEventListener("click", followLink);
addEventListener("popstate", show);
show();
