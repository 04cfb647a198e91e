import type { IngestResult, Snapshot } from "@noisescale/protocol";
import { expect, test } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { startTestCollector } from "./test-collector.ts";

test("a step of the learning rate holds the recommendation back, says so, and lets it go once the filter has followed", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p", optimizer: "adam" });
  const send = async (from: number, to: number): Promise<IngestResult["snapshot"]> => {
    const measurements = Array.from({ length: to - from }, (_, index) => ({
      ...wireMeasurement(from + index),
      learning_rate: from + index < 300 ? 0.1 : 0.01,
    }));
    return (await request("POST", "/v1/runs/a/measurements", { measurements })).json<IngestResult>().snapshot;
  };
  const before = await send(0, 300);
  expect(before.recommendation).toMatchObject({ held_back: null, adam: { one_minus_beta_factor: expect.any(Number) } });
  expect(before.warnings.map(({ code }) => code)).not.toContain("held-back");
  const changing = await send(300, 320);
  expect(changing.recommendation).toMatchObject({
    held_back: "learning_rate",
    batch_size: before.recommendation.batch_size,
  });
  expect(changing.warnings).toContainEqual({
    code: "held-back",
    message: expect.stringMatching(/learning rate .* is being changed.*stands as it stood/),
  });
  await send(320, 800);
  const snapshot = (await request("GET", "/v1/runs/a/snapshot")).json<Snapshot>();
  expect(snapshot.recommendation.held_back).toBeNull();
  expect(snapshot.warnings.map(({ code }) => code)).not.toContain("held-back");
});
