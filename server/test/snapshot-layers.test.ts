import type { Snapshot } from "@noisescale/protocol";
import { expect, test } from "vitest";
import { seededUniform, wireMeasurement } from "./measurement-source.ts";
import { startTestCollector } from "./test-collector.ts";

test("a snapshot's layers are parts of the whole, the largest share of the noise first", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const uniform = seededUniform(17);
  const names = Array.from({ length: 12 }, (_, layer) => `block${layer}.weight`);
  const measurements = Array.from({ length: 250 }, (_, step) => {
    const { small, big, ...rest } = wireMeasurement(step);
    const weights = names.map((_, layer) => (1 + ((layer * 5) % 12)) * (0.5 + uniform()));
    const whole = weights.reduce((sum, weight) => sum + weight, 0);
    const layers = Object.fromEntries(
      names.map((name, layer) => {
        const share = (weights[layer] ?? 0) / whole;
        return [name, [share * small.squared_norm, share * big.squared_norm]];
      }),
    );
    return { ...rest, small, big, layers };
  });
  await request("POST", "/v1/runs/a/measurements", { measurements });
  const { layers, horizons } = (await request("GET", "/v1/runs/a/snapshot")).json<Snapshot>();
  const whole = horizons.find(({ horizon }) => horizon === 200);
  const each = Object.values(layers);
  const sum = (key: "gradient_squared_norm" | "covariance_trace" | "covariance_trace_share") =>
    each.reduce((total, layer) => total + (layer[key] ?? Number.NaN), 0);
  expect(each).toHaveLength(12);
  expect(sum("covariance_trace") / (whole?.covariance_trace ?? 0)).toBeCloseTo(1, 9);
  expect(sum("gradient_squared_norm") / (whole?.gradient_squared_norm ?? 0)).toBeCloseTo(1, 9);
  expect(sum("covariance_trace_share")).toBeCloseTo(1, 12);
  const shares = each.map(({ covariance_trace_share: share }) => share ?? Number.NaN);
  expect(shares).toEqual(shares.toSorted((one, other) => other - one));
});
