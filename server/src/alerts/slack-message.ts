import type { AlertMessage } from "@noisescale/protocol";

const longestName = 120;
const marks = { info: "ℹ️", warning: "⚠️", error: "🛑" } as const;

/** An alert as Slack's incoming webhooks take it, and those that imitate them (Mattermost, Discord's `/slack`). */
export function slackMessage({ alert, link }: AlertMessage): { readonly text: string } {
  const { run, project, name, severity, title, text } = alert;
  const lines = [
    `${marks[severity]} *${escaped(title)}*`,
    `Run ${codeOf(name ?? run)} of project ${codeOf(project)}, step ${alert.step.toLocaleString("en-US")}`,
    escaped(text),
    ...(link === null ? [] : [`<${escaped(link)}|Open the run>`]),
  ];
  return { text: lines.join("\n") };
}

/** Slack's three control characters: without them no mention, link or channel can be made. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A name of the user's, as code: there neither Slack nor Mattermost reads formatting, links or mentions. */
function codeOf(name: string): string {
  const plain = name
    .replaceAll("`", "'")
    .replace(/[\s\p{Control}\p{Format}]+/gu, " ")
    .trim();
  const short = plain.length > longestName ? `${plain.slice(0, longestName)}…` : plain;
  return `\`${escaped(short === "" ? "–" : short)}\``;
}
