import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { metricKey, metricKeys } from "./metric-key.ts";
import type { Delivery, PanelFile, Point, RunContext, Tracker, TrackerAlert } from "./tracker.ts";
import { TrackerError } from "./tracker-error.ts";

/** What a tracker shows of a run, read by other means than the plugin's own. */
export interface ReadRun {
  /** In the order of each key's steps; keys in any order. Times are 0 where the tracker keeps none. */
  readonly points: readonly Point[];
  readonly panels: readonly Pick<PanelFile, "panel" | "contentType" | "bytes">[];
  /** Left out by a tracker that keeps none. */
  readonly panelData?: string | undefined;
  /** Holds the delivered markdown; may hold the user's own words too. */
  readonly note: string | undefined;
  /**
   * What a person reads of each alert, title and text in it, in any order; left out by a tracker that takes none. A tracker
   * that keeps only a rule's last alert shows that one.
   */
  readonly alerts?: readonly string[];
}

/** A real tracker, started for the suite. */
export interface TrackerBackend {
  /** A plugin for this back end. A second call stands for the collector after a crash: same back end, nothing in memory. */
  createTracker(): Tracker;
  /** A target that a training job would send for a new run. */
  target(run: string): Readonly<Record<string, unknown>>;
  /** What the tracker holds of the run that `target(run)` opened. */
  read(run: string): Promise<ReadRun>;
  /** Runs that a person sees in the tracker, whoever made them. */
  countRuns(): Promise<number>;
  stop(): Promise<void>;
}

/** What a plugin states about itself to be put to the suite. */
export interface TrackerClaims {
  start(): Promise<TrackerBackend>;
  /** Targets that must be refused: unknown fields, what leaves the configured bounds. The keys say why. */
  readonly refusedTargets: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** A plugin whose back end cannot be reached. */
  createUnreachableTracker(): Tracker | Promise<Tracker>;
  /** What the tracker keeps of a value; all of it by default. */
  readonly keptValue?: (value: number) => number;
  /** False for a tracker that takes no times and stamps what arrives with its own clock: then they are not compared. */
  readonly keepsTime?: boolean;
  /** A picture or page for each content type that the plugin takes. */
  panelBytes(contentType: PanelFile["contentType"], seed: number): Uint8Array;
}

const startMs = 1_790_000_000_000;
const context = (run: string): RunContext => ({
  run,
  project: "contract",
  name: `The run ${run}`,
  queue: "0123456789abcdef",
});

function point(step: number, key: string = metricKey.bSimple, value: number = 1000 / (step + 1)): Point {
  return { key, step, timeMs: startMs + 1000 * step, value };
}
function delivery(parts: Partial<Delivery>): Delivery {
  return { points: [], panels: [], ...parts };
}
function alert(id: string, parts: Partial<TrackerAlert>): TrackerAlert {
  const [rule, severity] = ["signal-lost", "warning"] as const;
  return { id, rule, severity, title: `Title of ${id}`, text: `Text of ${id}.`, step: 3, timeMs: startMs, ...parts };
}
function byKeyThenStep(points: readonly Point[]): Point[] {
  return [...points].sort((a, b) => (a.key === b.key ? a.step - b.step : a.key < b.key ? -1 : 1));
}
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}
async function expectRefusal(promise: Promise<unknown>, retryable: boolean): Promise<void> {
  const error = await failureOf(promise);
  expect(error).toBeInstanceOf(TrackerError);
  expect(error).toMatchObject({ retryable });
}

/** The promises of `Tracker`, as tests: every plugin runs them against its real back end. */
export function describeTracker(name: string, claims: TrackerClaims): void {
  describe(`${name} keeps the tracker contract`, () => {
    let backend: TrackerBackend;
    beforeAll(async () => {
      backend = await claims.start();
    });
    afterAll(async () => {
      await backend?.stop();
    });

    async function withTracker<Result>(use: (tracker: Tracker) => Promise<Result>): Promise<Result> {
      const tracker = backend.createTracker();
      try {
        return await use(tracker);
      } finally {
        await tracker.close();
      }
    }
    /** What is to be read of points that were sent, in the order of keys and steps. */
    function kept(points: readonly Point[]): Point[] {
      const { keptValue = (value) => value, keepsTime = true } = claims;
      const timeMs = keepsTime ? {} : { timeMs: 0 };
      return byKeyThenStep(points.map((sent) => ({ ...sent, ...timeMs, value: keptValue(sent.value) })));
    }
    /** Opens the run, sends one delivery at a position, and forgets everything: what a collector does between crashes. */
    async function sendOnce(run: string, what: Delivery, position: string | null): Promise<string> {
      return withTracker(async (tracker) => {
        const opened = await tracker.openRun(backend.target(run), context(run));
        const next = await opened.send(what, position);
        await opened.close();
        return next;
      });
    }

    test("points come back with the key, step, time and value they were sent with, in order", async () => {
      const values = [437.25, 1e-12, 3.5e7, -0.125, 0, 123_456_789.25];
      const sent = values.flatMap((value, step) => [
        point(step, metricKey.bSimple, value),
        point(step, metricKey.covarianceTrace, 1 - value / 3),
      ]);
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("order"), context("order"));
        let position = await run.send(delivery({ points: sent.slice(0, 5) }), null);
        position = await run.send(delivery({ points: sent.slice(5) }), position);
        expect(typeof position).toBe("string");
        await run.close();
      });
      expect(byKeyThenStep((await backend.read("order")).points)).toEqual(kept(sent));
    });

    test("a delivery sent again at its position leaves each point once, after a restart too", async () => {
      const first = delivery({ points: [0, 1, 2].map((step) => point(step)) });
      const second = delivery({ points: [3, 4, 5].map((step) => point(step)) });
      const third = delivery({ points: [6].map((step) => point(step)) });
      await sendOnce("resent", first, null);
      const afterFirst = await sendOnce("resent", first, null);
      await sendOnce("resent", second, afterFirst);
      const afterSecond = await sendOnce("resent", second, afterFirst);
      await sendOnce("resent", third, afterSecond);
      const read = await backend.read("resent");
      expect(read.points).toEqual(kept([0, 1, 2, 3, 4, 5, 6].map((step) => point(step))));
    });

    test("an open run takes a delivery again at the position before it", async () => {
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("again"), context("again"));
        const position = await run.send(delivery({ points: [point(0)] }), null);
        await run.send(delivery({ points: [point(1)] }), position);
        const last = await run.send(delivery({ points: [point(1)] }), position);
        await run.send(delivery({ points: [point(2)] }), last);
        await run.close();
      });
      expect((await backend.read("again")).points).toEqual(kept([point(0), point(1), point(2)]));
    });

    test("a call that was told to stop before it began writes nothing, and is worth another try", async () => {
      const what = delivery({ points: [point(0)] });
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("stopped"), context("stopped"));
        const position = await run.send(what, null);
        const error = await failureOf(run.send(delivery({ points: [point(1)] }), position, AbortSignal.abort()));
        expect(error).toBeDefined();
        if (error instanceof TrackerError) expect(error.retryable).toBe(true);
        expect((await backend.read("stopped")).points).toEqual(kept([point(0)]));
        await run.send(delivery({ points: [point(2)] }), position);
        await run.close();
      });
      expect((await backend.read("stopped")).points).toEqual(kept([point(0), point(2)]));
    });

    test.each([0, 2, 10, 40])(
      "a call that is told to stop after %i ms ends, and sent again leaves each point once",
      async (ms) => {
        const points = Array.from({ length: 1200 }, (_, step) => point(step));
        const run = `stopped-after-${ms}`;
        await withTracker(async (tracker) => {
          const stop = new AbortController();
          const opened = await tracker.openRun(backend.target(run), context(run));
          const call = failureOf(opened.send(delivery({ points }), null, stop.signal));
          const timer = setTimeout(() => stop.abort(), ms);
          await call;
          clearTimeout(timer);
          await opened.close();
        });
        await sendOnce(run, delivery({ points }), null);
        expect((await backend.read(run)).points).toEqual(kept(points));
      },
    );

    test("a delivery of thousands of points is taken whole", async () => {
      const points = Array.from({ length: 2503 }, (_, step) => point(step));
      await sendOnce("large", delivery({ points }), null);
      expect((await backend.read("large")).points).toEqual(kept(points));
    });

    test("a delivery with nothing in it is acknowledged", async () => {
      const position = await sendOnce("empty", delivery({}), null);
      await sendOnce("empty", delivery({ points: [point(1)] }), position);
      expect((await backend.read("empty")).points).toEqual(kept([point(1)]));
    });

    test("one point that breaks a rule keeps the whole delivery out, and says which", async () => {
      const broken: readonly Point[] = [
        point(1, metricKey.bSimple, Number.NaN),
        point(1, metricKey.bSimple, Number.POSITIVE_INFINITY),
        { ...point(1), step: 1.5 },
        { ...point(1), step: -1 },
        { ...point(1), timeMs: 0.5 },
        ...["", "../../x", "a//b", "a/./b", "/a", "<img src=x onerror=alert(1)>", "k".repeat(251)].map((key) =>
          point(1, key),
        ),
      ];
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("broken"), context("broken"));
        const position = await run.send(delivery({ points: [point(0)] }), null);
        for (const bad of broken) {
          const refused = run.send(delivery({ points: [point(1), bad] }), position);
          await expectRefusal(refused, false);
          await expect(refused).rejects.toThrow(JSON.stringify(bad.key));
        }
        await run.close();
      });
      expect((await backend.read("broken")).points).toEqual(kept([point(0)]));
    });

    test("a panel replaces the one of the same name, and its bytes arrive unchanged", async () => {
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("panels"), context("panels"));
        const panels = (seed: number): PanelFile[] =>
          tracker.capabilities.panels.flatMap((contentType) =>
            ["noise-scale", "frontier"].map((panel) => ({
              panel,
              title: `Panel <b>${panel}</b> & more`,
              contentType,
              bytes: claims.panelBytes(contentType, panel === "frontier" ? seed + 100 : seed),
              step: seed,
              timeMs: startMs + seed,
            })),
          );
        const position = await run.send(delivery({ panels: panels(1) }), null);
        await run.send(delivery({ panels: panels(2) }), position);
        const read = await backend.read("panels");
        const shown = (panel: ReadRun["panels"][number]): unknown => ({
          panel: panel.panel,
          contentType: panel.contentType,
          bytes: [...panel.bytes],
        });
        const expected = panels(2).map(shown);
        expect(read.panels.map(shown)).toEqual(expect.arrayContaining(expected));
        expect(read.panels).toHaveLength(expected.length);
        await run.close();
      });
    });

    test("a panel whose name would leave its folder is refused", async () => {
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("panel-name"), context("panel-name"));
        for (const panel of ["../../x", "", "a/b", "<img>", "A"]) {
          const bad = { panel, title: "x", contentType: "image/png", step: 0, timeMs: startMs } as const;
          await expectRefusal(
            run.send(delivery({ panels: [{ ...bad, bytes: claims.panelBytes("image/png", 1) }] }), null),
            false,
          );
        }
        await run.close();
      });
    });

    test("the panels' data replaces what was there before, or keeps a delivery out where none is taken", async () => {
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("panel-data"), context("panel-data"));
        const data = (name: string, step: number): Delivery =>
          delivery({
            points: [point(step)],
            panelData: { json: JSON.stringify({ name }), step, timeMs: startMs + step },
          });
        if (!tracker.capabilities.panelData) {
          await expectRefusal(run.send(data("refused", 1), null), false);
          return;
        }
        const position = await run.send(data("naïve <b>", 1), null);
        await run.send(data("≥ 410 </script>", 2), position);
        await run.close();
        expect((await backend.read("panel-data")).panelData).toBe(JSON.stringify({ name: "≥ 410 </script>" }));
      });
    });

    test("a note replaces the one before it", async () => {
      await withTracker(async (tracker) => {
        if (!tracker.capabilities.note) return;
        const run = await tracker.openRun(backend.target("note"), context("note"));
        const note = (text: string, step: number): Delivery =>
          delivery({ note: { markdown: text, step, timeMs: startMs + step } });
        const position = await run.send(note("**B_simple** 437, naïve ≥ 310", 1), null);
        await run.send(note("**B_simple** 512, naïve ≥ 410", 2), position);
        await run.close();
        const read = await backend.read("note");
        expect(read.note).toContain("**B_simple** 512, naïve ≥ 410");
        expect(read.note).not.toContain("437");
      });
    });

    test("an alert arrives once however often its delivery is sent, beside the points, and those before it stay", async () => {
      const capabilities = await withTracker(async (tracker) => tracker.capabilities);
      if (!capabilities.alerts) return;
      const large = alert("a1", { rule: "batch-too-large", severity: "warning", link: "http://127.0.0.1:7677/runs/r" });
      const lost = alert("a2", { rule: "signal-lost", severity: "info", step: 4 });
      const failed = alert("a3", { rule: "not-finite", severity: "error", step: 5 });
      const first = delivery({ points: [point(3)], alerts: [large] });
      const second = delivery({ alerts: [lost, failed] });
      await sendOnce("alerts", first, null);
      const afterFirst = await sendOnce("alerts", first, null);
      await sendOnce("alerts", second, afterFirst);
      const afterSecond = await sendOnce("alerts", second, afterFirst);
      await sendOnce("alerts", delivery({ points: [point(6)] }), afterSecond);
      const read = await backend.read("alerts");
      expect(read.points).toEqual(kept([point(3), point(6)]));
      expect(read.alerts).toHaveLength(3);
      for (const { title, text } of [large, lost, failed]) {
        expect(
          read.alerts?.filter((shown) => shown.includes(title) && shown.includes(text)),
          title,
        ).toHaveLength(1);
      }
    });

    test("an alert that breaks a rule keeps the whole delivery out, and so does any at a tracker that takes none", async () => {
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("broken-alert"), context("broken-alert"));
        const position = await run.send(delivery({ points: [point(0)] }), null);
        const bad = [{ id: "" }, { id: "../x" }, { rule: "<b>" }, { title: "" }, { title: "two\nlines" }, { step: -1 }];
        const broken = tracker.capabilities.alerts ? bad : [{}];
        for (const parts of broken) {
          const refused = run.send(delivery({ points: [point(1)], alerts: [alert("a1", parts)] }), position);
          await expectRefusal(refused, false);
        }
        await run.close();
      });
      expect((await backend.read("broken-alert")).points).toEqual(kept([point(0)]));
    });

    test("an alert about a run with a hostile name stays text", async () => {
      const capabilities = await withTracker(async (tracker) => tracker.capabilities);
      if (!capabilities.alerts) return;
      const title = "<img src=x onerror=alert(1)> ](http://169.254.169.254) <!here> __proto__";
      await sendOnce("hostile-alert", delivery({ alerts: [alert("a1", { title })] }), null);
      const { alerts = [] } = await backend.read("hostile-alert");
      expect(alerts).toHaveLength(1);
      expect(alerts[0]).toContain(title);
    });

    test("runs do not mix", async () => {
      await withTracker(async (tracker) => {
        const left = await tracker.openRun(backend.target("left"), context("left"));
        const right = await tracker.openRun(backend.target("right"), context("right"));
        const leftPosition = await left.send(delivery({ points: [point(1)] }), null);
        await right.send(delivery({ points: [point(7)] }), null);
        await left.send(delivery({ points: [point(2)] }), leftPosition);
        await left.close();
        await right.close();
      });
      expect((await backend.read("left")).points).toEqual(kept([point(1), point(2)]));
      expect((await backend.read("right")).points).toEqual(kept([point(7)]));
    });

    test("hostile names stay text and reach nothing else", async () => {
      const names = ["<img src=x onerror=alert(1)>", "__proto__", "../../x", "constructor", "a b", "a_b"];
      const keys = metricKeys(names, { prefix: "noise_scale/layer/", suffix: "/b_simple" });
      const points = keys.map((key) => point(3, key, 2));
      await withTracker(async (tracker) => {
        const run = await tracker.openRun(backend.target("hostile"), {
          ...context("hostile"),
          name: "<img src=x onerror=alert(1)> ../../x __proto__",
        });
        await run.send(
          delivery({ points, note: { markdown: "`<img src=x onerror=alert(1)>`", step: 3, timeMs: startMs } }),
          null,
        );
        await run.close();
      });
      expect(byKeyThenStep((await backend.read("hostile")).points)).toEqual(kept(points));
    });

    test("a target that is malformed or out of bounds is refused for good", async () => {
      await withTracker(async (tracker) => {
        for (const [why, target] of Object.entries(claims.refusedTargets)) {
          const error = await failureOf(tracker.openRun(target, context("refused")));
          expect(error, why).toBeInstanceOf(TrackerError);
          expect(error, why).toMatchObject({ retryable: false });
        }
      });
    });

    test("it tries itself with a real write and leaves no run behind", async () => {
      await withTracker(async (tracker) => {
        const before = await backend.countRuns();
        expect(await tracker.selfTest()).toMatch(/^[A-Z].*\.$/);
        expect(await backend.countRuns()).toBe(before);
      });
    });

    test("trying itself at a back end that is away says so in a sentence", async () => {
      const tracker = await claims.createUnreachableTracker();
      await expectRefusal(tracker.selfTest(), true);
      await tracker.close();
    });

    test("a back end that is away is worth another try", async () => {
      const tracker = await claims.createUnreachableTracker();
      const attempt = async (): Promise<string> => {
        const run = await tracker.openRun(backend.target("away"), context("away"));
        return run.send(delivery({ points: [point(0)] }), null);
      };
      await expectRefusal(attempt(), true);
      await tracker.close();
    });

    test("a run and a tracker may be closed twice, and a closed run takes nothing", async () => {
      const tracker = backend.createTracker();
      const run = await tracker.openRun(backend.target("closed"), context("closed"));
      await run.close();
      await run.close();
      await expectRefusal(run.send(delivery({ points: [point(0)] }), null), false);
      await tracker.close();
      await tracker.close();
    });
  });
}
