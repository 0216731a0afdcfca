/**
 * The README's examples: each passes the type checker as printed, and those for Node run against
 * the stack at CHATTERBOX_TEST_URL. Needs `npm run build` before.
 */

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const EXAMPLE = /<!-- test: (\w+) -->\s*```ts\n(.*?)```/gs;
const PRINTED_URL = 'http://127.0.0.1:8080';
const [PRINTED_VOICE, VOICE_OF_TONES] = ["'ben'", "'bass'"];

const url = process.env['CHATTERBOX_TEST_URL'] ?? '';
const readme = await readFile(join(PACKAGE, 'README.md'), 'utf8');
const examples = [...readme.matchAll(EXAMPLE)].map(([, name = '', source = '']) => ({
  name,
  source,
}));

// Inside the package, so that it finds itself by name.
const scratch = join(PACKAGE, 'dist', 'examples');
let folder = '';
beforeAll(async () => {
  await mkdir(scratch, { recursive: true });
  folder = await mkdtemp(join(scratch, 'run-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('the examples pass the type checker', async () => {
  expect(examples.map(({ name }) => name)).toEqual([
    'browser',
    'node',
    'live',
    'convert',
    'cancel',
    'errors',
    'microphone',
  ]);
  for (const { name, source } of examples) await writeFile(join(folder, `${name}.ts`), source);
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(PACKAGE, 'tsconfig.json'),
      compilerOptions: { noUnusedLocals: false },
      include: ['*.ts'],
    }),
  );
  const tsc = join(PACKAGE, 'node_modules', '.bin', 'tsc');
  const { stdout } = await run(tsc, ['-p', folder]).catch((error) => error);
  expect(stdout).toBe('');
});

describe.skipIf(url === '')('an example for Node runs', () => {
  test.each([
    ['node', /^$/, 'speech.wav'],
    ['live', /^(\d+ samples\n)+$/],
    ['convert', /^(\d+ samples\n)+$/, 'converted.wav'],
    ['cancel', /^cancelled\n$/],
    ['errors', /^no such thing: voices\/nobody\n$/],
  ])('%s', async (name, printed, file?: string) => {
    const source = examples.find((example) => example.name === name)?.source ?? '';
    expect(source).toContain(PRINTED_URL);
    // They use nothing of TypeScript's own, so Node takes them as they are.
    const program = join(folder, `${name}.mjs`);
    const adapted = source.replaceAll(PRINTED_URL, url).replaceAll(PRINTED_VOICE, VOICE_OF_TONES);
    await writeFile(program, adapted);
    const { stdout } = await run(process.execPath, [program], { cwd: folder, timeout: 20_000 });
    expect(stdout).toMatch(printed);
    if (file !== undefined) expect((await stat(join(folder, file))).size).toBeGreaterThan(1_000);
  });
});
