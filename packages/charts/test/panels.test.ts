import { describe, expect, it } from "vitest";
import {
  darkTheme,
  isPanelName,
  lightTheme,
  panelConfiguration,
  panelMissing,
  panelNames,
  panelSubtitle,
  panelsOf,
  panelText,
} from "../src/index.ts";
import { data, longRun, notIdentifiable, series, snapshot, unmeasured, withForms } from "./panel-fixture.ts";

const lines = (panel: Parameters<typeof panelConfiguration>[0], of = data) =>
  panelConfiguration(panel, of, lightTheme).data.datasets;
const range = (panel: Parameters<typeof panelConfiguration>[0], axis: "x" | "y", of = data) => {
  const { min, max } = panelConfiguration(panel, of, lightTheme).options?.scales?.[axis] ?? {};
  return { min: Number(min), max: Number(max) };
};
const bottom = (values: (number | null | undefined)[]) => values.filter((value) => typeof value === "number");

describe("every panel", () => {
  it.each(panelNames)("%s says what it draws, and its numbers in words", (panel) => {
    expect(panelSubtitle(panel, longRun)).not.toBe("");
    expect(panelText(panel, longRun)).toMatch(/\d/);
    expect(panelMissing(panel, longRun)).toBeUndefined();
  });

  it.each(panelNames)("%s has a sentence in place of a chart where nothing was measured", (panel) => {
    const empty = { name: "new", snapshot: unmeasured, series: { step: [], columns: {} } };
    expect(panelMissing(panel, empty)).toMatch(/\.$/);
    expect(panelText(panel, empty)).not.toMatch(/\d|NaN|null|undefined/);
  });

  it.each(panelNames)("%s takes its colours from the theme and from nowhere else", (panel) => {
    const colours = new Set(Object.values(darkTheme));
    for (const { borderColor } of panelConfiguration(panel, longRun, darkTheme).data.datasets) {
      expect([...colours, "transparent"]).toContain(borderColor);
    }
  });

  it.each(panelNames)("%s has finite ends on both axes", (panel) => {
    const empty = { name: "new", snapshot: unmeasured, series: { step: [], columns: {} } };
    for (const of of [longRun, data, empty]) {
      for (const axis of ["x", "y"] as const) {
        const { min, max } = range(panel, axis, of);
        expect(Number.isFinite(min) && Number.isFinite(max) && min < max).toBe(true);
      }
    }
  });

  it("is known by its name alone", () => {
    expect(isPanelName("noise-scale")).toBe(true);
    expect(isPanelName("__proto__")).toBe(false);
    expect(isPanelName("constructor")).toBe(false);
  });
});

describe("alerts panel", () => {
  it("has a row a rule, a mark an alert, a bar while it lasted, and a thick one to the last step where it lasts", () => {
    const datasets = lines("alerts", longRun);
    const last = range("alerts", "x", longRun).max;
    expect(datasets.map(({ data: points }) => points.map(({ x, y }) => [x, y]))).toEqual([
      [[900, 0]],
      [[1500, 1]],
      [[1600, 0]],
      [
        [900, 0],
        [1200, 0],
      ],
      [
        [1600, 0],
        [last, 0],
      ],
    ]);
    expect(datasets[4]?.borderWidth).toBeGreaterThan(Number(datasets[3]?.borderWidth));
    expect(datasets[1]?.borderColor).toBe(lightTheme.blue);
  });

  it("keeps an alert of a step that was not measured inside", () => {
    const early = { rule: "not-finite", severity: "warning", title: "x", step: 1e9, ended_step: 1e9 } as const;
    const { max } = range("alerts", "x", longRun);
    expect(lines("alerts", { ...longRun, alerts: [early] })[0]?.data).toEqual([{ x: max, y: 0 }]);
  });

  it("says in words first what lasts, then what is past, and how many more there are", () => {
    expect(panelText("alerts", longRun)).toBe(
      "The batch of 128 is too small, since step 1,600. Something else (step 1,700). The learning rate moved (step 1,500). The batch of 64 is too small (step 900 to 1,200).",
    );
    const alerts = Array.from({ length: 9 }, () => longRun.alerts ?? []).flat();
    expect(panelText("alerts", { ...longRun, alerts })).toMatch(/ And 31 more\.$/);
  });

  it("is shown only where something was raised", () => {
    expect(panelsOf(longRun)).toContain("alerts");
    expect(panelsOf(data)).not.toContain("alerts");
  });
});

describe("noise scale panel", () => {
  it("leaves a gap where nothing is identified", () => {
    const [middle] = lines("noise-scale");
    expect(middle?.data.map(({ y }) => y)).toEqual([100, null, 300, 400]);
    expect(middle?.spanGaps).toBe(false);
  });

  it("draws a value between two gaps as a dot, which a line of one point would not be", () => {
    const [middle] = lines("noise-scale");
    expect(middle?.pointRadius).toEqual([1.25, 0, 0, 0]);
  });

  it("lets the band run off the top where there is no upper bound", () => {
    const { max } = range("noise-scale", "y");
    const upper = lines("noise-scale").at(-1);
    expect(upper?.fill).toBe("-1");
    const ends = upper?.data.map(({ y }) => y) ?? [];
    expect(ends[0]).toBe(200);
    expect(Number(ends[1])).toBeGreaterThan(max);
  });

  it("leaves room above a lower bound that has no upper one", () => {
    const bounded = { step: [0, 1], columns: { b_simple_low: [100, 100], b_simple_high: [null, null] } };
    const { max } = range("noise-scale", "y", { ...data, snapshot: notIdentifiable, series: bounded });
    expect(max).toBeGreaterThanOrEqual(400);
  });

  it("is not stretched by one upper bound far above the rest", () => {
    const high = { ...series.columns, b_simple_high: [200, null, 1e12, 600] };
    const { max } = range("noise-scale", "y", { ...data, series: { ...series, columns: high } });
    expect(max).toBeLessThan(1e5);
  });

  it("draws a batch size as the step that it is", () => {
    const stepped = lines("noise-scale").filter((line) => line.stepped === "before");
    expect(stepped.map(({ borderColor }) => borderColor)).toEqual([lightTheme.orange, lightTheme.ink]);
  });

  it("draws the group's other runs behind this one, and names them in its text", () => {
    const other = { name: "rate 0.1", series: { step: [0, 100], columns: { b_simple: [20, 40] } } };
    const group = { ...data, overlay: [other] };
    expect(lines("noise-scale", group).filter(({ borderColor }) => borderColor === lightTheme.behind)).toHaveLength(1);
    expect(range("noise-scale", "x", group).max).toBe(100);
    expect(panelText("noise-scale", group)).toContain("rate 0.1 40");
  });

  it("draws B_noise and the optimizer's metric as further lines of the measurement's colour, where they are there", () => {
    const measured = (of = data) =>
      lines("noise-scale", of).filter(({ borderColor }) => borderColor === lightTheme.blue);
    expect(measured()).toHaveLength(1);
    expect(measured(withForms).map(({ borderDash }) => borderDash)).toEqual([undefined, [8, 4], [2, 4]]);
    expect(range("noise-scale", "y", withForms).max).toBeGreaterThan(700);
    expect(panelSubtitle("noise-scale", data)).not.toContain("B_noise");
    expect(panelSubtitle("noise-scale", withForms)).toContain("dashed: B_noise; dotted: in Adam's metric");
  });

  it("has them in its words, with their intervals", () => {
    expect(panelText("noise-scale", withForms)).toContain(
      "B_noise, which weighs the noise by the curvature, is 120, 95 % between 90 and 170. In Adam's metric it is 700, 95 % between 500 and 1,100.",
    );
  });

  it("says the bound, not a number, where nothing is identified", () => {
    expect(panelText("noise-scale", { ...data, snapshot: notIdentifiable })).toBe(
      "B_simple at step 30 is not identifiable: at least 310 examples.",
    );
  });
});

describe("signal and noise panel", () => {
  it("shows an estimate that is not positive as a gap: a logarithmic axis has no place for it", () => {
    const [signal, noise] = lines("signal-and-noise");
    expect(signal?.data.map(({ y }) => y)).toEqual([2, null, 0.5, 0.25]);
    expect(noise?.data.map(({ y }) => y)).toEqual([200, 150, 120, 100]);
  });
});

describe("frontier panel", () => {
  const curve = lines("frontier").find(({ borderColor, data: points }) => {
    return borderColor === lightTheme.blue && points.length > 1;
  });

  it("is the curve (S/S_min − 1)(E/E_min − 1) = 1", () => {
    for (const { x, y } of curve?.data ?? []) {
      // Exact up to rounding of doubles.
      expect((x / 10 - 1) * (Number(y) / 2000 - 1)).toBeCloseTo(1, 9);
    }
    expect(curve?.data.length).toBeGreaterThan(50);
  });

  it("marks this run, the recommended batch size and the knee on the curve, where both are twice the least", () => {
    const marks = lines("frontier").filter(({ showLine }) => showLine === false);
    const [current, recommended, knee] = marks.map(({ data: [point] }) => point);
    expect(current).toEqual({ x: 10 * (1 + 200 / 128), y: 2000 * (1 + 128 / 200) });
    expect(recommended).toEqual({ x: 10 * (1 + 200 / 416), y: 2000 * (1 + 416 / 200) });
    expect(knee).toEqual({ x: 20, y: 4000 });
  });

  it("has its curve inside the band at every number of steps", () => {
    const [lower, upper] = lines("frontier").slice(-2);
    const at = (steps: number) => 2000 * (1 + 1 / (steps / 10 - 1));
    lower?.data.forEach(({ x, y }, index) => {
      if (x <= 10) return;
      expect(Number(y)).toBeLessThanOrEqual(at(x));
      const top = upper?.data[index]?.y;
      expect(Number(top)).toBeGreaterThanOrEqual(Math.min(at(x), Number(top)));
    });
  });

  it("bounds a run whose signal may be zero by its units alone", () => {
    const predicted = { ...snapshot.predicted, min_steps_low: 0 };
    const [lower] = lines("frontier", { ...data, snapshot: { ...snapshot, predicted } }).slice(-2);
    expect(new Set(bottom(lower?.data.map(({ y }) => y) ?? []))).toEqual(new Set([1600]));
  });

  it("has no band where no bound is known", () => {
    const predicted = { ...snapshot.predicted, min_steps_low: null, min_units_low: null };
    const datasets = lines("frontier", { ...data, snapshot: { ...snapshot, predicted } });
    expect(datasets.some(({ fill }) => fill === "-1")).toBe(false);
  });

  it("says why it cannot be drawn", () => {
    const predicted = { ...unmeasured.predicted };
    const unknown = { ...data, snapshot: { ...notIdentifiable, predicted } };
    expect(panelMissing("frontier", unknown)).toBe("The signal cannot be told from zero yet.");
  });
});

it("the predicted frontier says which noise scale it is made of", () => {
  expect(panelText("frontier", data)).toContain("Predicted from B_simple, not from a sweep.");
  expect(panelText("frontier", withForms)).toContain("Predicted from B_noise, not from a sweep.");
  expect(panelSubtitle("frontier", withForms)).toContain("this run's B_noise");
});

describe("trade panel", () => {
  it("has steps and units at twice the least where the batch is the noise scale", () => {
    const tiny = { ...snapshot.recommendation, critical_batch_size: 5e-324 };
    expect(panelText("trade", { ...data, snapshot: { ...snapshot, recommendation: tiny } })).toContain("over 1e308×");
    expect(panelText("trade", { ...data, snapshot: { ...snapshot, batch_size: 400 } })).toContain(
      "A batch of 400 takes 2.00× the least steps and 2.00× the least examples",
    );
  });

  it("is not drawn from a lower bound", () => {
    expect(panelMissing("trade", { ...data, snapshot: notIdentifiable })).toBe(
      "The signal cannot be told from zero yet.",
    );
  });
});

describe("the panel of the layers", () => {
  it("names them by share of the noise, the largest first, whatever order the object has", () => {
    expect(panelText("layers", data)).toBe(
      "hidden: 500 examples, 75 % of the noise; 2: 90 examples, 20 % of the noise; __proto___bias: at least 700 examples, 5.0 % of the noise.",
    );
  });

  it("draws the 16 with the most noise of many, each row with its name and share, and says what the rest has", () => {
    const layers = Object.fromEntries(
      Array.from({ length: 512 }, (_, place) => [
        `model.layers.${place}.mlp.weight`,
        { b_simple: 100, b_simple_low: 50, b_simple_high: 200, covariance_trace_share: (512 - place) / 131_328 },
      ]),
    );
    const many = { ...data, snapshot: { ...snapshot, layers } };
    const scale = panelConfiguration("layers", many, lightTheme).options?.scales?.["y"];
    expect({ min: scale?.min, max: scale?.max }).toEqual({ min: -0.5, max: 15.5 });
    const callback = scale?.ticks?.callback as unknown as (value: number) => string;
    expect(callback(0)).toBe("0, 0.4 %");
    expect(callback(15)).toBe("15, 0.4 %");
    // 16 of 512, from 512/131328 down: 8072/131328.
    expect(panelSubtitle("layers", many)).toContain("the 16 of 512 layers with the most, 6.1 % together");
    expect(panelText("layers", many)).toContain("And 507 more, with 98 % of the noise.");
  });

  it("is one of a run's panels only where layers are measured", () => {
    expect(panelsOf(data)).toContain("layers");
    const { layers: _, ...without } = data.snapshot;
    expect(panelsOf({ ...data, snapshot: without })).not.toContain("layers");
  });
});

describe("the panels that a run has", () => {
  it("are those of loss, learning rate, layers and alerts only where there are any", () => {
    const { loss: _, learning_rate: __, ...silent } = longRun.series.columns;
    const { layers: ___, ...unlayered } = longRun.snapshot;
    const bare = { ...longRun, alerts: [], snapshot: unlayered, series: { ...longRun.series, columns: silent } };
    expect(panelsOf(longRun)).toEqual(panelNames);
    expect(panelsOf(bare)).toEqual(["noise-scale", "frontier", "trade", "schedule", "signal-and-noise"]);
    expect(panelMissing("loss", bare)).toBe("The hook does not report the loss.");
    expect(panelMissing("learning-rate", bare)).toBe("The hook does not report the learning rate.");
  });
});

describe("panel of the schedule", () => {
  const schedule = (of = longRun) => lines("schedule", of);

  it("is √(r·B_simple) at every step, with r = B_crit where the run declares none", () => {
    const [middle] = schedule();
    const noiseScales = longRun.series.columns.b_simple ?? [];
    middle?.data.forEach(({ y }, row) => {
      const noiseScale = noiseScales[row] ?? null;
      expect(y).toBe(noiseScale === null ? null : Math.sqrt(200 * noiseScale));
    });
  });

  it("takes the latency ratio that the run declares", () => {
    const recommendation = { ...snapshot.recommendation, latency_ratio: 800 };
    const declared = { ...longRun, snapshot: { ...snapshot, recommendation } };
    expect(panelSubtitle("schedule", declared)).toContain("r = 800");
    const [, , level] = schedule(declared);
    expect(level?.data.map(({ y }) => y)).toEqual([400, 400]);
    // √(800·200) = 400: 1 + B_crit/B = 1.5 and 1 + B/B_crit = 3; adaptive with √γ = .95: 1.475 and 2.9.
    expect(panelText("schedule", declared)).toContain("1.48× the least steps and 2.90× the least examples");
    const predicted = { ...snapshot.predicted, critical_batch_size: 5e-324 };
    expect(panelText("schedule", { ...declared, snapshot: { ...declared.snapshot, predicted } })).toMatch(
      /^No schedule can be predicted: .* critical batch size, 4\.94e-324\.$/,
    );
  });

  it("says what it would save against the best single size, and what the batch that is run costs", () => {
    expect(panelText("schedule", longRun)).toBe(
      "A batch that follows the noise scale takes 1.95× the least steps and 1.95× the least examples: 2.5 % and 2.5 % fewer than the best single size, 200. 128 throughout takes 2.56× and 1.64×.",
    );
  });

  it("is not drawn where the frontier is not known", () => {
    const unknown = { ...longRun, snapshot: { ...notIdentifiable, predicted: unmeasured.predicted } };
    expect(panelMissing("schedule", unknown)).toBe("The signal cannot be told from zero yet.");
  });
});

describe("panel of the loss", () => {
  it("finds the power law that the run follows, up to the means over its parts", () => {
    const law = lines("loss", longRun).find(({ borderDash }) => borderDash !== undefined);
    expect(law?.data).toHaveLength(2);
    for (const { x, y } of law?.data ?? []) {
      expect(Number(y) * x ** 2).toBeGreaterThan(195);
      expect(Number(y) * x ** 2).toBeLessThan(205);
    }
    expect(panelText("loss", longRun)).toMatch(/Power law: 200 examples .* divided by loss\^\(1\/0\.50\)/);
  });

  it("draws no line where none holds, and says so", () => {
    const wild = longRun.series.step.map((step) => 100 + 50 * Math.sin(step));
    const none = {
      ...longRun,
      series: { ...longRun.series, columns: { ...longRun.series.columns, b_simple: wild } },
    };
    expect(lines("loss", none).some(({ borderDash }) => borderDash !== undefined)).toBe(false);
    expect(panelText("loss", none)).toContain("no power law in this run");
  });

  it("says that too few measurements have a loss", () => {
    expect(panelMissing("loss", data)).toBe("Too few measurements have both a loss above 0 and a noise scale.");
  });
});

describe("panel of learning rate and temperature", () => {
  const marks = (of = longRun) =>
    lines("learning-rate", of).filter(({ borderColor }) => borderColor === lightTheme.muted);

  it("draws each over its highest: a batch that doubles with its rate leaves the temperature as it is", () => {
    const [rates, temperatures] = lines("learning-rate", longRun);
    const at = (line: typeof rates, step: number) => line?.data.find(({ x }) => x === step)?.y;
    expect([at(rates, 0), at(rates, 1500)]).toEqual([0.5, 1]);
    expect(at(rates, 1700)).toBeCloseTo(0.1, 12);
    expect([at(temperatures, 0), at(temperatures, 1500)]).toEqual([1, 1]);
    expect(at(temperatures, 1700)).toBeCloseTo(0.1, 12);
  });

  it("marks the steps of rate and batch, and says them", () => {
    expect(marks().map(({ data: [point] }) => point?.x)).toEqual([1000, 1600]);
    expect(panelText("learning-rate", longRun)).toContain("2 changes, the last by step 1,600: rate ×0.1.");
  });

  it("takes the root of the batch for Adam, whose temperature that is", () => {
    const adam = { ...longRun, snapshot: { ...snapshot, optimizer: "adam" as const } };
    expect(panelSubtitle("learning-rate", adam)).toContain("rate/√batch");
    const [, temperatures] = lines("learning-rate", adam);
    expect(temperatures?.data[0]?.y).toBeCloseTo(0.5 * Math.sqrt(2), 12);
  });

  it("joins rates that are reported now and then, and runs those near 0 off the bottom", () => {
    const rates = longRun.series.step.map((step) => (step % 20 === 0 ? Math.max(2000 - step, 1) ** 4 / 1e12 : null));
    const sparse = {
      ...longRun,
      series: { ...longRun.series, columns: { ...longRun.series.columns, learning_rate: rates } },
    };
    const [line] = lines("learning-rate", sparse);
    expect(line?.data).toHaveLength(100);
    expect(line?.data.every(({ y }) => y !== null)).toBe(true);
    expect(range("learning-rate", "y", sparse).min).toBeCloseTo(1e-3 / 1.3, 12);
  });

  it("says that the recommendation is held back", () => {
    const recommendation = { ...snapshot.recommendation, held_back: "learning_rate" as const };
    const held = { ...longRun, snapshot: { ...snapshot, recommendation } };
    expect(panelText("learning-rate", held)).toContain("stands still until it has settled");
  });
});

describe("the frontier's words", () => {
  it("say what a batch that follows the noise scale would save, where it saves anything: 1 + √γ", () => {
    const withGain = (gain: number | null) =>
      panelText("frontier", {
        ...data,
        snapshot: { ...snapshot, predicted: { ...snapshot.predicted, adaptive_gain: gain } },
      });
    expect(withGain(0.9025)).toContain("With a batch that follows the noise scale both would be 1.95× the least.");
    expect(withGain(0.9999)).not.toContain("follows");
    expect(withGain(null)).not.toContain("follows");
  });
});
