import { describe, expect, it } from "vitest";
import { headline, summaryMarkdown, summaryRows } from "../src/index.ts";
import { hostileName, notIdentifiable, snapshot, unmeasured } from "./panel-fixture.ts";

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
    const calibrated = { ...snapshot, recommendation: { ...snapshot.recommendation, calibrated: true } };
    expect(headline(calibrated).basis).not.toContain("indicator");
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
    const note = summaryMarkdown(`${hostileName} [link](javascript:alert(1)) **bold**`, snapshot, "http://host/runs/a");
    expect(note).not.toMatch(/(?<!\\)[<[*](?=img|link|\*bold)/);
    expect(note).toContain("[Live panels](http://host/runs/a)");
    expect(note.split("\n")[0]).toContain("\\<img");
  });
});
