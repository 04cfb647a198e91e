import { type PanelSnapshot, summaryRows } from "@noisescale/charts";
import { element, setText } from "./element.ts";

/** The places of one figure. */
interface FigureRow {
  readonly label: HTMLElement;
  readonly value: HTMLElement;
  readonly detail: HTMLElement;
}

/** The five figures of a run, each with its interval or basis. */
export class Figures {
  readonly node: HTMLElement = element("dl", { class: "figures card" });
  readonly #rows: FigureRow[] = [];

  show(snapshot: PanelSnapshot): void {
    for (const [index, { label, value, detail }] of summaryRows(snapshot).entries()) {
      const row = this.#rows[index] ?? this.#add();
      setText(row.label, label);
      setText(row.value, value);
      setText(row.detail, detail);
    }
  }

  #add(): FigureRow {
    const row = {
      label: element("dt"),
      value: element("dd", { class: "figure-value" }),
      detail: element("dd", { class: "figure-detail" }),
    };
    this.node.append(element("div", { class: "figure" }, row.label, row.value, row.detail));
    this.#rows.push(row);
    return row;
  }
}
