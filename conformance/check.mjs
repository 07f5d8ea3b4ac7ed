// One case, and how many came to what.

import { test } from 'node:test';

export const results = { passed: 0, failed: 0, skipped: 0 };

/** One case. */
export function check(name, body) {
  test(name, async () => {
    try {
      await body();
      results.passed += 1;
    } catch (error) {
      results.failed += 1;
      throw error;
    }
  });
}
