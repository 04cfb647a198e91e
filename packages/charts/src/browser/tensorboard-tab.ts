import { Chart } from "../chart.ts";
import { headline } from "../headline.ts";
import type { PanelData } from "../panel-data.ts";
import { panelConfiguration, panelMissing, panelSubtitle, panelsOf, panelText, panelTitle } from "../panels.ts";
import { panelStyle } from "../standalone-style.ts";
import { darkTheme, lightTheme } from "../theme.ts";

/** TensorBoard loads its data anew as often. */
const lookEveryMs = 10_000;

/** What TensorBoard calls, in a frame of its own, to show the tab. */
export async function render(): Promise<void> {
  const style = document.createElement("style");
  style.textContent = `${panelStyle}
.bar { display: flex; gap: 12px; align-items: baseline; margin: 0 0 12px; }
.bar label { color: var(--muted); }
select { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 4px 8px; max-width: 100%; }`;
  document.head.append(style);
  document.documentElement.lang = "en";
  await new Tab().start();
}

class Tab {
  readonly #picker = document.createElement("select");
  readonly #view = document.createElement("div");
  #charts: Chart[] = [];
  #runs = "";
  #shown = "";
  #data: PanelData | undefined;

  async start(): Promise<void> {
    const bar = element("div", "bar");
    const label = element("label", "", "Run");
    this.#picker.id = "run";
    label.setAttribute("for", "run");
    bar.append(label, this.#picker);
    document.body.replaceChildren(bar, this.#view);
    this.#picker.addEventListener("change", () => void this.#look());
    followDarkMode(() => this.#draw());
    await this.#look();
    setInterval(() => void this.#look(), lookEveryMs);
  }

  /** Reads what the event files hold by now; draws where it has changed. */
  async #look(): Promise<void> {
    try {
      const runs = await answer<readonly string[]>("runs");
      this.#offer(runs);
      if (runs.length === 0) {
        this.#say("No run below this log directory holds the noise scale's panels yet.");
        return;
      }
      const text = await (await asked(`panel_data?${new URLSearchParams({ run: this.#picker.value })}`)).text();
      if (text === this.#shown) return;
      this.#shown = text;
      this.#data = JSON.parse(text);
      this.#show();
    } catch (error) {
      this.#say(`TensorBoard does not answer: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #offer(runs: readonly string[]): void {
    const known = JSON.stringify(runs);
    if (known === this.#runs) return;
    this.#runs = known;
    const chosen = this.#picker.value;
    this.#picker.replaceChildren(...runs.map((run) => new Option(run.replace(/\/?noise_scale$/, "") || run, run)));
    if (runs.includes(chosen)) this.#picker.value = chosen;
  }

  #say(sentence: string): void {
    this.#shown = "";
    this.#data = undefined;
    this.#clear();
    this.#view.replaceChildren(element("p", "", sentence));
  }

  #show(): void {
    const data = this.#data;
    if (data === undefined) return;
    const { sentence, basis } = headline(data.snapshot);
    const panels = element("main");
    for (const panel of panelsOf(data)) {
      const section = element("section");
      section.append(element("h2", "", panelTitle(panel)), element("p", "", panelSubtitle(panel, data)));
      const missing = panelMissing(panel, data);
      if (missing === undefined) {
        const canvas = document.createElement("canvas");
        canvas.dataset["panel"] = panel;
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", panelText(panel, data));
        const frame = element("div", "chart");
        frame.append(canvas);
        section.append(frame);
      } else section.append(element("p", "missing", missing));
      section.append(element("p", "text", panelText(panel, data)));
      panels.append(section);
    }
    this.#clear();
    this.#view.replaceChildren(
      element("p", "name", data.name),
      element("h1", "", sentence),
      element("p", "", basis),
      panels,
    );
    this.#draw();
  }

  #draw(): void {
    const data = this.#data;
    this.#clear();
    document.documentElement.dataset["theme"] = isDark() ? "dark" : "light";
    if (data === undefined) return;
    const theme = isDark() ? darkTheme : lightTheme;
    for (const panel of panelsOf(data)) {
      const canvas = this.#view.querySelector<HTMLCanvasElement>(`canvas[data-panel="${panel}"]`);
      if (canvas !== null) this.#charts.push(new Chart(canvas, panelConfiguration(panel, data, theme)));
    }
  }

  #clear(): void {
    for (const chart of this.#charts) chart.destroy();
    this.#charts = [];
  }
}

/** TensorBoard marks its own page as dark; this frame is of one origin with it. */
function isDark(): boolean {
  return window.parent.document.body.classList.contains("dark-mode");
}

function followDarkMode(changed: () => void): void {
  let dark = isDark();
  new MutationObserver(() => {
    if (isDark() === dark) return;
    dark = isDark();
    changed();
  }).observe(window.parent.document.body, { attributes: true, attributeFilter: ["class"] });
}

function element(name: string, className = "", text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className !== "") made.className = className;
  if (text !== "") made.textContent = text;
  return made;
}

async function answer<Content>(path: string): Promise<Content> {
  return (await asked(path)).json() as Promise<Content>;
}

/** @param path - beside the script, where the plugin's routes are */
async function asked(path: string): Promise<Response> {
  const response = await fetch(new URL(path, import.meta.url));
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response;
}
