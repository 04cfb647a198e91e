import { type PanelSnapshot, summaryRows } from "@noisescale/charts";
import { element, setText } from "./element.ts";

/** The five figures of a run, each with its interval or basis. */
export class Figures {
  readonly node: HTMLElement = element("dl", { class: "figures card" });
  readonly #rows: { readonly value: HTMLElement; readonly detail: HTMLElement }[] = [];

  show(snapshot: PanelSnapshot): void {
    for (const [index, { label, value, detail }] of summaryRows(snapshot).entries()) {
      const row = this.#rows[index] ?? this.#add(label);
      setText(row.value, value);
      setText(row.detail, detail);
    }
  }

  #add(label: string): { readonly value: HTMLElement; readonly detail: HTMLElement } {
    const row = { value: element("dd", { class: "figure-value" }), detail: element("dd", { class: "figure-detail" }) };
    this.node.append(element("div", { class: "figure" }, element("dt", {}, label), row.value, row.detail));
    this.#rows.push(row);
    return row;
  }
}
