import type { Alert, AlertList } from "@noisescale/protocol";
import { ageText } from "./age-text.ts";
import { alertSteps, ruleName, severityMark } from "./alert-words.ts";
import { fetchAlerts } from "./collector-api.ts";
import { element } from "./element.ts";
import { runPath } from "./place.ts";
import { poll } from "./poll.ts";
import type { View } from "./view.ts";

const webhookWords = {
  ok: "up to date",
  waiting: "waiting to be sent",
  retrying: "trying again",
  refused: "refused",
} as const;

/** The latest alerts of all runs, those that last first, and how their delivery goes. */
export function showAlerts({ main, trail, banner, signal }: View): void {
  document.title = "Alerts · noisescale";
  trail.replaceChildren(element("a", { href: "/" }, "All runs"));
  let shown = "";

  const draw = (list: AlertList): void => {
    const content = JSON.stringify([list, Math.floor(Date.now() / 10_000)]);
    if (content === shown) return;
    shown = content;
    const focused = document.activeElement?.getAttribute("data-focus");
    main.replaceChildren(...alertTable(list), ...webhookTable(list));
    if (focused !== null && focused !== undefined) {
      main.querySelector<HTMLElement>(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
  };

  poll(signal, async () => {
    try {
      const list = await fetchAlerts(signal);
      banner.show(true);
      draw(list);
    } catch {
      if (!signal.aborted) banner.show(false);
    }
  });
}

function alertTable({ alerts, lasting: older }: AlertList): HTMLElement[] {
  const lasting = [...older, ...alerts.filter((alert) => alert.ended_step === null)].reverse();
  const past = alerts.filter((alert) => alert.ended_step !== null).reverse();
  const facts =
    alerts.length === 0
      ? "Nothing was raised. Runs are watched while they are measured."
      : `${lasting.length} not over, ${past.length} past`;
  const header = element(
    "header",
    { class: "list-header" },
    element("h1", {}, "Alerts"),
    element("p", { class: "facts" }, facts),
  );
  if (alerts.length === 0) return [header];
  return [
    header,
    element("ol", { class: "card alert-list" }, ...[...lasting, ...past].map((alert) => alertItem(alert))),
  ];
}

/** An alert in full. @param ofRun - on the run's own page: without its name */
export function alertItem(alert: Alert, ofRun = false): HTMLElement {
  const { run, project, name, rule, severity, title, text, time_ms: timeMs, ended_step: ended, sent } = alert;
  const link = element("a", { href: runPath(run), "data-focus": `alert ${alert.number}` }, name ?? run);
  const facts = [
    ofRun ? undefined : project,
    alertSteps(alert),
    ageText(Date.now() - timeMs),
    sent ? undefined : "shown here alone",
  ];
  return element(
    "li",
    { class: "alert", "data-lasts": ended === null ? "true" : "false" },
    element("p", { class: "alert-title" }, severityMark(severity, ruleName(rule)), element("strong", {}, title)),
    element("p", {}, text),
    element(
      "p",
      { class: "remark" },
      ofRun ? null : link,
      ofRun ? null : " · ",
      facts.filter((fact) => fact !== undefined).join(" · "),
    ),
  );
}

function webhookTable({ webhooks }: AlertList): HTMLElement[] {
  if (webhooks.length === 0) return [];
  const rows = webhooks.map(({ name, state, backlog, message }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element(
        "td",
        {},
        element("span", { class: "queue", "data-queue": state === "refused" ? "parked" : state }, webhookWords[state]),
        message === null || state === "ok" ? null : element("span", { class: "remark" }, message),
      ),
      element("td", { class: "number" }, backlog === 0 ? "–" : backlog.toLocaleString("en-US")),
    ),
  );
  const heading = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Webhook"),
    element("th", { scope: "col" }, "State"),
    element("th", { scope: "col", class: "number" }, "Waiting"),
  );
  return [
    element(
      "div",
      { class: "records" },
      element(
        "section",
        { class: "record" },
        element("h2", {}, "Sent to"),
        element("table", {}, element("thead", {}, heading), element("tbody", {}, ...rows)),
      ),
    ),
  ];
}
