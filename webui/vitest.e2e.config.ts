import { defineConfig } from 'vitest/config';

/** The page in a real browser, against the stack that CHATTERBOX_URL names (tests/e2e/test_webui.py). */
export default defineConfig({
  test: {
    include: ['e2e/**/*.e2e.ts'],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
