import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, spoken, visit } from './browser';

const SAID =
  'Early in the morning the market square is still empty, and only the baker is awake. ' +
  'Then the first carts arrive, somebody laughs, and the day has begun.';

let browser: Browser;
beforeAll(async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'microphone-')), 'said.wav');
  writeFileSync(file, await spoken(SAID));
  browser = await launch(
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
    `--use-file-for-fake-audio-capture=${file}`, // over and over
  );
});
afterAll(async () => {
  await browser.close();
});

test('makes a voice of what the microphone hears', async () => {
  const { context, page, complaints } = await visit(browser);
  await page.goto('/voices');
  await page.getByRole('button', { name: 'New voice' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Record now' }).click();
  await dialog
    .getByRole('status')
    .filter({ hasText: /Recording [5-9] s/ })
    .waitFor();
  await dialog.getByRole('button', { name: 'Finish' }).click();
  await dialog.getByLabel('Name', { exact: true }).fill('Heard by the microphone');
  await dialog.getByRole('checkbox').check();
  const report = dialog.getByRole('region', { name: 'The recording' });
  await report.waitFor();
  const [, speechS] = /Speech\s*(\d+\.\d) s/.exec((await report.textContent()) ?? '') ?? [];
  expect(Number(speechS)).toBeGreaterThan(3); // and not silence
  await dialog.getByRole('button', { name: 'Make the voice' }).click();
  await page.getByTestId('voice').filter({ hasText: 'Heard by the microphone' }).waitFor();
  expect(complaints).toEqual([]);
  await context.close();
});
