import type { IngestResult, MeasurementInput, Series } from "@noisescale/protocol";
import { expect, test } from "vitest";
import { toWireMeasurement } from "../src/run-measurement.ts";
import { measurement, seededUniform, wireMeasurement } from "./measurement-source.ts";
import { startTestCollector } from "./test-collector.ts";

/** With gᵀHg at every third step and gᵀPg at all but the first: noise scales of 64 and 1024. */
function withForms(step: number, uniform = seededUniform(17)): MeasurementInput {
  const wobble = (): number => 1 + 0.2 * (uniform() - 0.5);
  const form = (scale: number, parts: number) => ({
    small: { batch_size: 256 / parts, value: (parts / 256 + 1 / scale) * wobble() },
    big: { batch_size: 256, value: (1 / 256 + 1 / scale) * wobble() },
  });
  return {
    ...wireMeasurement(step),
    ...(step % 3 === 0 ? { hessian: form(64, 2) } : {}),
    ...(step > 0 ? { preconditioned: form(1024, 8) } : {}),
  };
}

const uniform = seededUniform(17);
const measurements = Array.from({ length: 120 }, (_, step) => withForms(step, uniform));

test("measurements with other quadratic forms give B_noise and Adam's noise scale in snapshot, series and trackers", async () => {
  const { request, snapshot, tracker } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p", trackers: [{ name: "memory", run: { id: "x" } }] });
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements });
  expect(answer.json<IngestResult>()).toMatchObject({ accepted: 120, rejected: [] });
  const now = await snapshot("a");
  expect(now.predicted.basis).toBe("b_noise");
  for (const [low, value, high, truth] of [
    [now.b_noise_low, now.b_noise, now.b_noise_high, 64],
    [now.b_preconditioned_low, now.b_preconditioned, now.b_preconditioned_high, 1024],
  ] as const) {
    expect(low).toBeLessThan(truth);
    expect(high).toBeGreaterThan(truth);
    // The values wobble by a tenth, some 40 of them at least.
    expect(Math.abs(Math.log((value ?? 0) / truth))).toBeLessThan(0.2);
  }
  const { columns } = (
    await request("GET", "/v1/runs/a/series?metrics=b_noise,b_noise_low,b_noise_high,b_preconditioned")
  ).json<Series>();
  // The filter starts at the twentieth Hessian, step 57.
  expect(columns.b_noise?.findIndex((value) => value !== null)).toBe(57);
  expect(columns.b_noise?.at(-1)).toBe(now.b_noise);
  expect(columns.b_noise_low?.at(-1)).toBe(now.b_noise_low);
  expect(columns.b_preconditioned?.at(-1)).toBe(now.b_preconditioned);
  const csv = (await request("GET", "/v1/runs/a/series.csv")).text;
  expect(csv.split("\r\n")[0]).toContain("b_noise [examples],b_noise_low [examples]");
  await expect
    .poll(() => tracker.runs.get("x")?.points.some(({ key }) => key === "noise_scale/b_noise"), { timeout: 8000 })
    .toBe(true);
});

test("a form belongs to its measurement: sent again it is a duplicate, with another value it is refused, and export writes it as it came", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const post = async (one: MeasurementInput) =>
    (await request("POST", "/v1/runs/a/measurements", { measurements: [one] })).json<IngestResult>();
  const first = withForms(3);
  expect(await post(first)).toMatchObject({ accepted: 1 });
  expect(await post(first)).toMatchObject({ duplicates: 1 });
  const { hessian: _, ...without } = first;
  expect(await post(without)).toMatchObject({ rejected: [{ path: "step" }] });
  expect(toWireMeasurement(measurement(3, 0, first))).toEqual(first);
});

test("a form that is no measurement is refused with its field, and costs no other record", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const form = { small: { batch_size: 1, value: 1e160 }, big: { batch_size: 2, value: 0 } };
  const bad = [
    { ...withForms(3), hessian: form },
    { ...withForms(4), preconditioned: { ...form, small: { batch_size: 1, value: -1 } } },
    { ...withForms(5), hessian: { ...form, small: { batch_size: 2, value: 1 } } },
  ];
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements: [...bad, withForms(6)] });
  expect(answer.json<IngestResult>()).toMatchObject({
    accepted: 1,
    rejected: [
      { index: 0, path: "hessian.small.value", message: expect.stringMatching(/not finite/) },
      { index: 1, path: "preconditioned.small.value", message: expect.stringMatching(/must not be negative/) },
      { index: 2, path: "hessian.small.batch_size", message: expect.stringMatching(/smaller than the form's big/) },
    ],
  });
});
