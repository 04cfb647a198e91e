import { describe, expect, it } from "vitest";
import { headline, type PanelSnapshot, summaryMarkdown, summaryRows } from "../src/index.ts";
import { hostileName, notIdentifiable, snapshot, unmeasured, withForms } from "./panel-fixture.ts";

describe("headline", () => {
  it("says what the recommended batch size would cost from here on, relative to the current one", () => {
    // (1 + 400/416)/(1 + 400/128) = 0.4755… and (1 + 416/400)/(1 + 128/400) = 1.5454…
    expect(headline(snapshot).sentence).toBe(
      "From here on, a batch of 416 would take 0.48× the steps for 1.55× the examples.",
    );
  });

  it("names the interval, and says that an uncalibrated B_simple is an indicator", () => {
    const { basis } = headline(snapshot);
    expect(basis).toContain("Now 128.");
    expect(basis).toContain("400 examples (95 % between 310 and 600)");
    expect(basis).toContain("It is an indicator");
  });

  it("says that B_noise is lost where the recommendation rests on it", () => {
    const lost: PanelSnapshot = {
      ...snapshot,
      recommendation: {
        ...snapshot.recommendation,
        basis: "b_noise",
        batch_size: null,
        critical_batch_size: null,
        critical_batch_size_low: null,
        critical_batch_size_high: null,
      },
      warnings: [{ code: "b-noise-lost", message: "It cannot be told from zero." }],
    };
    expect(headline(lost)).toEqual({
      sentence: "B_noise is not identifiable at the moment.",
      basis: "It cannot be told from zero.",
    });
  });

  it("says of every other basis what it is, its value and its interval", () => {
    const on = (recommendation: Partial<PanelSnapshot["recommendation"]>) =>
      headline({
        ...snapshot,
        recommendation: {
          ...snapshot.recommendation,
          critical_batch_size: 80,
          critical_batch_size_low: 50,
          critical_batch_size_high: 130,
          ...recommendation,
        },
      });
    const calibrated = on({ basis: "b_simple_calibrated", calibrated: true });
    expect(calibrated.basis).toContain(
      "B_simple now, 400, times what a sweep of this project measured: a critical batch size of 80 examples (95 % between 50 and 130)",
    );
    // (1 + 80/416)/(1 + 80/128) = 0.7337… and (1 + 416/80)/(1 + 128/80) = 2.3846…
    expect(calibrated.sentence).toContain("0.73× the steps for 2.38× the examples");
    expect(calibrated.basis).not.toContain("indicator");
    expect(on({ basis: "b_noise" }).basis).toContain("B_noise now, 80 examples");
    expect(on({ basis: "frontier", target: "loss<=0.3", calibrated: true }).basis).toContain(
      "a sweep of this run's group: to reach loss<=0.3, near this run's loss, the critical batch size was 80 examples",
    );
  });

  it("says that the gradient is that of the data set itself where its size is stated", () => {
    expect(headline({ ...snapshot, dataset_units: 10_000 }).basis).toContain(
      "The signal is the gradient of the data set's own 10,000 examples, drawn without replacement.",
    );
    expect(headline(snapshot).basis).not.toContain("data set");
  });

  it("has a number to give where a sweep gives one, even before the run's own signal is identified", () => {
    const swept = {
      ...notIdentifiable,
      recommendation: { ...snapshot.recommendation, basis: "frontier" as const, target: "loss<=0.3", calibrated: true },
    };
    expect(headline(swept).sentence).toContain("a batch of 416");
  });

  it("recommends no change to a batch size that is within a quarter of the recommended one", () => {
    expect(headline({ ...snapshot, batch_size: 400 }).sentence).toBe("The batch of 400 is about right.");
  });

  it("speaks of the run's own unit", () => {
    const tokens = headline({ ...snapshot, unit: "token" });
    expect(tokens.sentence).toContain("the tokens.");
    expect(tokens.basis).not.toContain("examples");
  });

  it("says the lower bound where the noise scale is not identifiable, and what follows from it", () => {
    const { sentence, basis } = headline(notIdentifiable);
    expect(sentence).toBe("Not identifiable yet: B_simple ≥ 310 examples.");
    // 1/(1 + 128/310) = 0.7077…, rounded down since it is said to be the least.
    expect(basis).toContain("At the batch of 128, at least 70 % of the examples are useful.");
    expect(basis).toContain("The signal cannot be told from zero yet.");
  });

  it("gives the reason alone, not every warning, where there is no number", () => {
    expect(headline(notIdentifiable).basis).not.toContain("batch normalisation");
  });

  it("says that the recommendation stands still while the learning rate is being changed", () => {
    const recommendation = { ...snapshot.recommendation, held_back: "learning_rate" as const };
    const warnings = [{ code: "held-back", message: "It is being changed." }];
    const { sentence, basis } = headline({ ...snapshot, recommendation, warnings });
    expect(sentence).toContain("a batch of 416");
    expect(basis).toContain("It is being changed.");
  });

  it("says what is known where no batch size is recommended before the learning rate has settled", () => {
    const recommendation = { ...snapshot.recommendation, batch_size: null, held_back: "learning_rate" as const };
    const warnings = [{ code: "held-back", message: "It is being changed." }];
    expect(headline({ ...snapshot, recommendation, warnings })).toEqual({
      sentence: "No batch size is recommended yet: it would be near 400 now.",
      basis: "It is being changed.",
    });
  });

  it("waits where nothing was measured", () => {
    expect(headline(unmeasured).sentence).toBe("Waiting for the first measurement.");
  });

  it("claims nothing where not even a lower bound is known", () => {
    const few = {
      ...unmeasured,
      measurements: 7,
      batch_size: 64,
      warnings: [{ code: "too-few-measurements", message: "7 measurements so far." }],
    };
    expect(headline(few)).toEqual({ sentence: "Nothing can be said yet.", basis: "7 measurements so far." });
  });
});

describe("summary", () => {
  it("has five figures, each with its interval or basis", () => {
    const rows = summaryRows(snapshot);
    expect(rows.map(({ value }) => value)).toEqual(["400", "200", "416", "75 %", "identified"]);
    expect(rows[0]?.detail).toBe("310 – 600 examples");
    expect(rows[2]?.detail).toBe("320 – 608, uncalibrated");
  });

  it("shows bounds as bounds and unknown figures as a dash, never as a number", () => {
    const rows = summaryRows(notIdentifiable);
    expect(rows.map(({ value }) => value)).toEqual(["≥ 310", "200", "–", "≥ 70 %", "not identified"]);
    expect(summaryRows(unmeasured).map(({ value }) => value)).toEqual(["–", "–", "–", "–", "–"]);
    expect(summaryRows(unmeasured)[0]?.detail).toBe("not known yet");
  });

  it("writes a note in which a name cannot become markup", () => {
    const lasts = {
      rule: "signal-lost",
      severity: "warning",
      title: "Lost *it* <b>",
      step: 70,
      ended_step: null,
    } as const;
    const alerts = [
      lasts,
      { ...lasts, title: "Past", ended_step: 80 },
      { ...lasts, title: "Info", severity: "info" as const },
    ];
    const note = summaryMarkdown(`${hostileName} [link](javascript:alert(1)) **bold**`, snapshot, {
      link: "http://host/runs/a",
      alerts,
    });
    expect(note).toContain("**Lost \\*it\\* \\<b\\>**, since step 70.");
    expect(note).not.toMatch(/Past|Info/);
    expect(note).not.toMatch(/(?<!\\)[<[*](?=img|link|\*bold)/);
    expect(note).toContain("[Live panels](http://host/runs/a)");
    expect(note.split("\n")[0]).toContain("\\<img");
  });
});

describe("the five figures", () => {
  it("have B_noise in the signal's place where it is known: the signal is, then", () => {
    expect(summaryRows(snapshot).map(({ label }) => label)).toContain("Signal");
    const rows = summaryRows(withForms.snapshot);
    expect(rows).toHaveLength(5);
    expect(rows.at(-1)).toEqual({ label: "B_noise now", value: "120", detail: "90 – 170 examples" });
    expect(rows[1]?.detail).toContain("from B_noise");
  });
});
