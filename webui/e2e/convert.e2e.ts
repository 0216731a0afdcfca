import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, spoken, status, streams, until, visit } from './browser';

const TEXT = 'The market square is still empty, and only the baker is awake.';
const LONG = 'Somebody talks and talks, and nobody hears the end of what is said. '.repeat(12);

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

/** Opens the screen with a recording, which it returns, and chooses another voice. */
async function prepare(page: Page, text: string): Promise<Buffer> {
  const buffer = await spoken(text);
  await page.goto('/convert');
  const source = page.getByRole('region', { name: 'Source' });
  await source
    .locator('input[type=file]')
    .setInputFiles({ name: 'market.wav', mimeType: 'audio/wav', buffer });
  await source.getByText('market.wav').waitFor();
  await page.getByTestId('voice-picker').click();
  await page.getByRole('dialog').getByRole('button', { name: /^Ben/ }).click();
  await page.getByTestId('convert').and(page.locator(':enabled')).waitFor();
  return buffer;
}

test('says a recording in another voice, as long as it was', async () => {
  const { context, page, complaints } = await visit(browser);
  const source = await prepare(page, TEXT);
  await page.getByTestId('convert').click();
  await status(page, 'Done');
  expect(await page.getByRole('alert').count()).toBe(0);
  const figures = await page.getByTestId('figures').textContent();
  expect(figures).toMatch(/First sound\s*\d.*Real-time factor\s*\d/);

  const downloading = page.waitForEvent('download');
  await page.getByTestId('download').click();
  const download = await downloading;
  expect(download.suggestedFilename()).toBe('market-ben.wav');
  const file = readFileSync(await download.path());
  expect(file.toString('latin1', 0, 4)).toBe('RIFF');
  const samples = new Int16Array(new Uint8Array(file.subarray(44)).buffer);
  expect(samples.length / ((source.length - 44) / 2)).toBeCloseTo(1, 1);
  expect(samples.some((sample) => Math.abs(sample) > 1_000)).toBe(true);

  // Both are heard again, one in the place of the other.
  await page.getByRole('button', { name: 'Play: Source' }).click();
  await page.getByRole('button', { name: 'Pause: Source' }).waitFor();
  await page.getByRole('button', { name: 'Play: Result' }).click();
  await page.getByRole('button', { name: 'Pause: Result' }).waitFor();
  await page.getByRole('button', { name: 'Play: Source' }).waitFor();
  expect(complaints).toEqual([]);
  await context.close();
});

test('stops at once, on the server too, and keeps what came', async () => {
  const { context, page } = await visit(browser);
  await prepare(page, LONG);
  await page.keyboard.press('Control+Enter');
  await page
    .getByTestId('figures')
    .filter({ hasText: /First sound\s*\d/ })
    .waitFor();
  await page.keyboard.press('Escape');
  await status(page, 'Stopped');
  expect(await page.getByTestId('download').isEnabled()).toBe(true);
  await until(async () => (await streams()) === 0);
  await context.close();
});

test('loses the recording neither with the server nor with a reload', async () => {
  const { context, page } = await visit(browser);
  await prepare(page, TEXT);
  await context.setOffline(true);
  await page.getByTestId('convert').click();
  await page.getByRole('alert').filter({ hasText: 'recordings are safe' }).first().waitFor();
  await status(page, 'Failed');
  await context.setOffline(false);
  await page.getByRole('button', { name: 'Try again' }).click();
  await status(page, 'Done');

  await page.reload();
  await page.getByRole('region', { name: 'Source' }).getByText('market.wav').waitFor();
  await page.getByTestId('download').and(page.locator(':enabled')).waitFor();
  await page.getByRole('button', { name: 'Play: Source' }).click();
  await page.getByRole('button', { name: 'Pause: Source' }).waitFor();
  await context.close();
});
