import type { CalibrationAnswer, GroupFrontierAnswer, Problem, RunFrontierAnswer } from "@noisescale/protocol";
import { calibrationSchema, groupFrontierSchema, runFrontierSchema } from "@noisescale/protocol";
import { expect, test } from "vitest";
import { criticalBatchSizeAt, lossAt, type SweepRunPlan, sweepMeasurements, sweepRatio } from "./sweep-source.ts";
import { startTestCollector, type TestCollector } from "./test-collector.ts";

const batchSizes = [8, 32, 128, 512, 2048];
const target = 0.5;
const evaluated = "validation_loss<=0.5";

async function addRun(
  { request }: TestCollector,
  run: string,
  plan: SweepRunPlan,
  declaration: object = {},
  finished = true,
): Promise<void> {
  await request("PUT", `/v1/runs/${run}`, { project: "digits", group: "sweep", ...declaration });
  const measurements = sweepMeasurements(plan);
  expect((await request("POST", `/v1/runs/${run}/measurements`, { measurements })).json()).toMatchObject({
    accepted: measurements.length,
  });
  if (!finished) return;
  const events = [{ step: measurements.at(-1)?.step ?? 0, time_ms: 1_760_000_000_000, kind: "finished", code: "done" }];
  await request("POST", `/v1/runs/${run}/events`, { events });
}

async function addSweep(collector: TestCollector, plan: Partial<SweepRunPlan> = {}, declaration = {}): Promise<void> {
  for (const batchSize of batchSizes) {
    await addRun(collector, `b${batchSize}`, { batchSize, evaluation: "validation_loss", ...plan }, declaration);
  }
}

const frontierOf = async ({ request }: TestCollector, query: string, group = "sweep", method = "GET") =>
  request(method, `/v1/groups/${group}/frontier?${query}`);
const keptFrontierOf = (collector: TestCollector, query: string) => frontierOf(collector, query, "sweep", "PUT");
const asked = (text: string): string => `target=${encodeURIComponent(text)}`;

test("a group's frontier is fitted to the interpolated first crossings of an evaluation", async () => {
  const collector = await startTestCollector();
  await addSweep(collector, { learningRate: 0.1 });
  const response = await frontierOf(collector, asked(" validation_loss <= 0.50 "));
  expect(response.status).toBe(200);
  const answer = groupFrontierSchema.parse(response.json<GroupFrontierAnswer>());
  expect(answer).toMatchObject({
    project: "digits",
    group: "sweep",
    unit: "example",
    target: evaluated,
    source: "evaluation",
    warnings: [],
  });
  // Steps are whole and the loss is convex between two measurements: within a percent of the closed form.
  expect(answer.frontier.critical_batch_size / criticalBatchSizeAt(target)).toBeCloseTo(1, 1.7);
  expect(answer.frontier.target).toBe(0.5);
  expect(answer.runs.map(({ run, used, learning_rate }) => [run, used, learning_rate])).toEqual(
    batchSizes.map((batchSize) => [`b${batchSize}`, true, 0.1]),
  );
  expect(answer.runs.map(({ batch_size }) => batch_size)).toEqual(batchSizes);
  const accuracy = groupFrontierSchema.parse((await frontierOf(collector, asked("other accuracy>=0.75"))).json());
  for (const [i, { steps }] of accuracy.runs.entries()) expect(steps).toBeCloseTo(answer.runs[i]?.steps ?? 0, 6);
});

test("the training loss is followed only where no run evaluates a loss, and that is said", async () => {
  const collector = await startTestCollector();
  await addSweep(collector, { evaluation: undefined as never });
  const answer = groupFrontierSchema.parse((await frontierOf(collector, asked("loss<=0.5"))).json());
  expect(answer.source).toBe("training_loss");
  expect(answer.warnings.join(" ")).toContain("the training loss was followed");
  // An average over a fifth of the run of a curve that bends: the same factor on the steps of each run.
  expect(answer.frontier.critical_batch_size / criticalBatchSizeAt(target)).toBeCloseTo(1, 1);
  const refused = await frontierOf(collector, asked("validation_loss<=0.5"));
  expect(refused.status).toBe(422);
  expect(refused.json<Problem>().detail).toContain("loss<=value follows their training loss");
});

test("runs that cannot be runs of the sweep are left out, each with the reason", async () => {
  const collector = await startTestCollector();
  await addSweep(collector);
  const evaluation = "validation_loss";
  await addRun(collector, "running", { batchSize: 64, evaluation, progress: 30 }, {}, false);
  await addRun(collector, "censored", { batchSize: 128, evaluation, progress: 30 });
  await addRun(collector, "silent", { batchSize: 64 });
  await collector.request("PUT", "/v1/runs/empty", { project: "digits", group: "sweep" });
  const varied = sweepMeasurements({ batchSize: 64, evaluation }).map((measurement, i) => ({
    ...measurement,
    units: i < 20 ? 64 : 256,
  }));
  await collector.request("PUT", "/v1/runs/varied", { project: "digits", group: "sweep" });
  await collector.request("POST", "/v1/runs/varied/measurements", { measurements: varied });
  const answer = groupFrontierSchema.parse((await frontierOf(collector, asked(evaluated))).json());
  const remarks = Object.fromEntries(answer.runs.map(({ run, used, remark }) => [run, [used, remark]]));
  expect(remarks).toMatchObject({
    b8: [true, null],
    b128: [true, null],
    running: [false, "is still running and has not met the target"],
    censored: [false, "never met the target"],
    silent: [false, 'reports no evaluation "validation_loss"'],
    empty: [false, 'reports no evaluation "validation_loss"'],
    varied: [false, "has no constant batch size up to the target"],
  });
  expect(answer.frontier.censored).toEqual([
    { batch_size: 128, learning_rate: null, runs: 2, never_reached: 1, left_out: false },
  ]);
  expect(answer.warnings).toContain("4 of the group's 10 runs are left out; each says why.");
});

test("of several learning rates the fastest counts at each batch size, and batches that differ by a little are one size", async () => {
  const collector = await startTestCollector();
  const evaluation = "validation_loss";
  for (const batchSize of batchSizes) {
    await addRun(collector, `a${batchSize}`, { batchSize, evaluation, learningRate: 0.1 });
    await addRun(collector, `b${batchSize}`, { batchSize: batchSize * 1.01, seed: 1, evaluation, learningRate: 0.1 });
    await addRun(collector, `c${batchSize}`, { batchSize, evaluation, learningRate: 0.4, slowness: 1.6 });
  }
  const answer = groupFrontierSchema.parse((await frontierOf(collector, asked(evaluated))).json());
  expect(answer.frontier.points).toHaveLength(5);
  expect(answer.frontier.runs).toBe(10);
  const slow = answer.runs.find(({ run }) => run === "c128");
  expect(slow).toMatchObject({ used: false, remark: "another learning rate was faster at this batch size" });
});

test("what cannot be fitted is a problem with a sentence and what was wrong with each run, never a number", async () => {
  const collector = await startTestCollector();
  await addRun(collector, "one", { batchSize: 32, evaluation: "validation_loss" });
  await addRun(collector, "two", { batchSize: 128, evaluation: "validation_loss" });
  await addRun(collector, "three", { batchSize: 512, evaluation: "validation_loss", progress: 20 }, {}, false);
  const refused = await frontierOf(collector, asked(evaluated));
  expect(refused.status).toBe(422);
  expect(refused.headers.get("content-type")).toContain("application/problem+json");
  expect(refused.json<Problem>()).toMatchObject({
    detail:
      "The frontier of validation_loss<=0.5 cannot be fitted. A frontier needs at least 3 batch sizes, and the sweep has 2 batch sizes.",
    errors: [{ path: "three", message: "is still running and has not met the target" }],
  });
  const never = await frontierOf(collector, asked("validation_loss<=0.001"));
  expect([never.status, never.json<Problem>().detail]).toEqual([
    422,
    "The frontier of validation_loss<=0.001 cannot be fitted. The target was never reached, or by under half of the runs of each batch size.",
  ]);
  const rising = await startTestCollector();
  for (const [i, batchSize] of [32, 128, 512].entries()) {
    await addRun(rising, `r${batchSize}`, { batchSize, evaluation: "validation_loss", slowness: 5 ** i });
  }
  const up = await frontierOf(rising, asked(evaluated));
  expect([up.status, up.json<Problem>().detail]).toEqual([422, expect.stringContaining("do not fall")]);
});

test("a query that is not understood says what it must be, and which project is meant where several have such a group", async () => {
  const collector = await startTestCollector();
  await addSweep(collector);
  await collector.request("PUT", "/v1/runs/elsewhere", { project: "words", group: "sweep" });
  for (const query of ["", "target=", asked("validation_loss"), asked("<=3"), asked("a<=b"), asked("a<=Infinity")]) {
    const refused = await frontierOf(collector, query);
    expect([query, refused.status]).toEqual([query, 400]);
    expect(refused.json<Problem>().detail).toContain("name<=value");
  }
  const ambiguous = await frontierOf(collector, asked(evaluated));
  expect([ambiguous.status, ambiguous.json<Problem>().detail]).toEqual([
    400,
    'Projects digits, words each have a group "sweep": add project= to the query',
  ]);
  expect((await frontierOf(collector, `${asked(evaluated)}&project=digits`)).status).toBe(200);
  expect((await frontierOf(collector, asked(evaluated), "nothing")).status).toBe(404);
  expect((await frontierOf(collector, `${asked(evaluated)}&project=neither`)).status).toBe(404);
});

test("a kept frontier is the basis of the group's recommendations while their loss is near its target; asking for one changes nothing", async () => {
  const collector = await startTestCollector();
  await addSweep(collector, { progress: 58 });
  const before = await collector.snapshot("b512");
  expect(before.recommendation).toMatchObject({ basis: "b_simple", target: null, calibrated: false });
  expect((await frontierOf(collector, asked(evaluated))).status).toBe(200);
  expect(await collector.snapshot("b512")).toEqual(before);
  expect((await collector.request("GET", "/v1/runs/b512/frontier")).json<RunFrontierAnswer>().fitted).toEqual([]);
  const fitted = groupFrontierSchema.parse((await keptFrontierOf(collector, asked(evaluated))).json());
  const { recommendation, efficiency, b_simple } = await collector.snapshot("b512");
  const critical = fitted.frontier.critical_batch_size;
  expect(recommendation).toMatchObject({
    basis: "frontier",
    target: evaluated,
    calibrated: true,
    batch_size: Math.round(critical),
    critical_batch_size: critical,
    critical_batch_size_low: fitted.frontier.critical_batch_size_low,
  });
  expect(recommendation.trade.length).toBeGreaterThan(2);
  expect(efficiency).toBeCloseTo(1 / (1 + 512 / critical), 10);
  expect(b_simple).toBe(before.b_simple);
  // At the run's beginning the loss was far from the target: there the line is that of the run alone.
  const { columns } = (
    await collector.request("GET", "/v1/runs/b512/series?metrics=recommended_batch_size,b_simple")
  ).json<{ columns: Record<string, (number | null)[]> }>();
  expect(columns["recommended_batch_size"]?.at(-1)).toBe(Math.round(critical));
  const early = columns["recommended_batch_size"]?.[30] ?? 0;
  expect(early / (columns["b_simple"]?.[30] ?? 1)).toBeGreaterThan(0.75);
  const predicted = runFrontierSchema.parse(
    (await collector.request("GET", "/v1/runs/b512/frontier")).json<RunFrontierAnswer>(),
  );
  expect(predicted.fitted).toEqual([fitted]);
  expect(predicted.predicted.critical_batch_size).toBeGreaterThan(0);
  // Where the runs give none any more, it is no basis any more.
  for (const batchSize of [8, 32, 128]) await collector.request("DELETE", `/v1/runs/b${batchSize}`);
  expect((await frontierOf(collector, asked(evaluated))).status).toBe(422);
  expect((await collector.snapshot("b512")).recommendation.basis).toBe("frontier");
  expect((await keptFrontierOf(collector, asked(evaluated))).status).toBe(422);
  expect((await collector.snapshot("b512")).recommendation.basis).toBe("b_simple");
});

test("a project's calibration turns B_simple into a critical batch size in its runs, their series and what trackers are sent", async () => {
  const collector = await startTestCollector();
  await addSweep(collector);
  await addRun(
    collector,
    "next",
    { batchSize: 96 },
    { group: "other", trackers: [{ name: "memory", run: { id: "x" } }] },
    false,
  );
  await addRun(collector, "elsewhere", { batchSize: 96 }, { project: "words", group: "other" });
  const alone = await collector.snapshot("next");
  const stateBefore = await collector.request("GET", "/v1/runs/next/series?metrics=b_simple,held_b_simple");
  const path = "/v1/projects/digits/calibration";
  expect((await collector.request("GET", path)).status).toBe(404);
  const put = await collector.request("PUT", path, { group: "sweep", target: evaluated });
  expect(put.status).toBe(200);
  const made = calibrationSchema.parse(put.json<CalibrationAnswer>());
  expect(made).toMatchObject({ project: "digits", group: "sweep", target: evaluated });
  // The filter follows B_simple with some percent of error, and the first measurements are counted at its first value.
  expect(Math.abs(made.ratio / sweepRatio - 1)).toBeLessThan(0.1);
  expect(made.ratio_low).toBeLessThan(sweepRatio);
  expect(made.ratio_high).toBeGreaterThan(sweepRatio);
  expect(made.runs.map(({ run }) => run)).toEqual(batchSizes.map((batchSize) => `b${batchSize}`));
  expect((await collector.request("GET", path)).json()).toEqual(made);

  const { recommendation, warnings, b_simple } = await collector.snapshot("next");
  expect(recommendation).toMatchObject({ basis: "b_simple_calibrated", calibrated: true });
  expect(recommendation.critical_batch_size).toBeCloseTo((b_simple ?? 0) * made.ratio, 8);
  expect(warnings.map(({ code }) => code)).not.toContain("uncalibrated");
  expect(alone.warnings.map(({ code }) => code)).toContain("uncalibrated");
  expect((await collector.request("GET", "/v1/runs/next/series?metrics=b_simple,held_b_simple")).text).toBe(
    stateBefore.text,
  );
  const { columns } = (
    await collector.request("GET", "/v1/runs/next/series?metrics=recommended_batch_size,held_b_simple")
  ).json<{ columns: Record<string, (number | null)[]> }>();
  expect(columns["recommended_batch_size"]?.at(-1)).toBe(
    Math.round((columns["held_b_simple"]?.at(-1) ?? 0) * made.ratio),
  );
  expect((await collector.snapshot("elsewhere")).recommendation.basis).toBe("b_simple");

  const last = sweepMeasurements({ batchSize: 96 }).at(-1);
  const more = { ...last, step: (last?.step ?? 0) + 1, time_ms: (last?.time_ms ?? 0) + 60_000 };
  const answer = (await collector.request("POST", "/v1/runs/next/measurements", { measurements: [more] })).json<{
    snapshot: { recommendation: { batch_size: number; basis: string } };
  }>();
  expect(answer.snapshot.recommendation.basis).toBe("b_simple_calibrated");
  await expect
    .poll(
      () =>
        collector.tracker.runs.get("x")?.points.findLast(({ key }) => key === "noise_scale/recommended_batch_size")
          ?.value,
    )
    .toBe(answer.snapshot.recommendation.batch_size);

  expect((await collector.request("DELETE", path)).status).toBe(204);
  expect((await collector.request("DELETE", path)).status).toBe(404);
  expect((await collector.snapshot("next")).recommendation.basis).toBe("b_simple");
});

test("a calibration that cannot be made leaves the one before, and says why", async () => {
  const collector = await startTestCollector();
  await addSweep(collector);
  const path = "/v1/projects/digits/calibration";
  const made = (await collector.request("PUT", path, { group: "sweep", target: evaluated })).json();
  const never = await collector.request("PUT", path, { group: "sweep", target: "validation_loss<=0.0001" });
  expect(never.status).toBe(422);
  const wrong = await collector.request("PUT", path, { group: "sweep", target: "validation_loss" });
  expect([wrong.status, wrong.json<Problem>().errors?.[0]?.path]).toEqual([400, "target"]);
  expect((await collector.request("PUT", path, { group: "sweep" })).status).toBe(400);
  expect((await collector.request("PUT", path, { group: "none", target: evaluated })).status).toBe(404);
  expect((await collector.request("GET", path)).json()).toEqual(made);
});

test("an evaluation of an attempt that was overtaken does not count", async () => {
  const collector = await startTestCollector();
  await addSweep(collector);
  const plan = { batchSize: 128, evaluation: "validation_loss" };
  const early = sweepMeasurements(plan)
    .slice(0, 30)
    .map((measurement) => ({
      ...measurement,
      attempt: 1,
      evaluations: { validation_loss: measurement.step > 20 ? 0.1 : 2 },
    }));
  await collector.request("PUT", "/v1/runs/again", { project: "digits", group: "sweep" });
  await collector.request("POST", "/v1/runs/again/measurements", { measurements: early });
  const second = sweepMeasurements(plan).map((measurement) => ({ ...measurement, attempt: 2 }));
  await collector.request("POST", "/v1/runs/again/measurements", { measurements: second });
  const { runs } = groupFrontierSchema.parse((await frontierOf(collector, asked(evaluated))).json());
  const [again, b128] = ["again", "b128"].map((name) => runs.find(({ run }) => run === name));
  expect(again?.steps).toBe(b128?.steps);
  expect(lossAt(0)).toBe(2);
});
