import { readFileSync } from "node:fs";

/**
 * Counts of vitest's JSON report. A file that did not load, and a test that a failed set-up kept from running, count as
 * failed: nothing is skipped on purpose here.
 *
 * @param {string} path
 * @param {boolean} ok - whether vitest ended well
 * @returns {{ passed: number, failed: number }}
 */
export function readTestResults(path, ok) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return { passed: 0, failed: 1 };
  }
  let passed = 0;
  let failed = 0;
  for (const file of report.testResults) {
    const passedHere = file.assertionResults.filter(
      (/** @type {{ status: string }} */ test) => test.status === "passed",
    );
    const failedHere = file.assertionResults.length - passedHere.length;
    passed += passedHere.length;
    failed += failedHere === 0 && file.status === "failed" ? 1 : failedHere;
  }
  // An error outside of every test fails the whole without failing one.
  return { passed, failed: failed === 0 && !ok ? 1 : failed };
}
