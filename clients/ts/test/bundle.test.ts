/** What a page gets when Vite bundles the browser entry. Needs `npm run build` before. */

import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
// @ts-expect-error a script without types
import { bundle } from '../scripts/bundle.mjs';

const MAX_GZIPPED_BYTES = 60_000; // of the 250 kB that the web page may have in all

interface BundledFile {
  readonly name: string;
  readonly source: Buffer;
}

describe('the bundle', () => {
  let files: BundledFile[] = [];
  beforeAll(async () => {
    files = await bundle();
  });

  test('is small', () => {
    const sizes = files.map(({ source }) => gzipSync(source, { level: 9 }).length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(MAX_GZIPPED_BYTES);
  });

  test('has the worklets as files, which strict security policies allow', () => {
    const names = files.map(({ name }) => name.replace(/-[\w-]{8}\.js$/, '.js'));
    expect(names).toContain('assets/pcm-worklet.js');
    expect(names).toContain('assets/capture-worklet.js');
    const scripts = files.map(({ source }) => source.toString());
    expect(scripts.some((script) => script.includes('data:text/javascript'))).toBe(false);
    expect(scripts.some((script) => /\beval\(|new Function\(/.test(script))).toBe(false);
  });

  test('holds nothing of Node', () => {
    const scripts = files.map(({ source }) => source.toString());
    expect(scripts.some((script) => /node:|http2/.test(script))).toBe(false);
  });
});
