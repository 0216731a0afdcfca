import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { launchFor, processWith, status, until, write } from './browser';

const FINISHED = 'This one was heard to its end.';
const UNFINISHED = 'In the middle of this one the browser is killed. '.repeat(20).trim();

test('finds everything again after the browser was killed while it spoke', async () => {
  const profile = mkdtempSync(join(tmpdir(), 'profile-'));
  const before = await launchFor(profile);
  await makeTakes(before.page);
  await before.page.goto('/');
  await write(before.page, FINISHED);
  await before.page.getByTestId('speak').click();
  await status(before.page, 'Done');
  await until(async () => (await keptStates(before.page)).includes('complete'));
  await write(before.page, UNFINISHED);
  await before.page.getByTestId('speak').click();
  await status(before.page, /Playing|Speaking/);
  await until(async () => (await keptStates(before.page)).includes('speaking'));
  const closed = before.context.waitForEvent('close');
  process.kill(browserOf(profile), 'SIGKILL');
  await closed;

  const { context, page, complaints } = await launchFor(profile);
  expect(await page.getByRole('textbox', { name: 'Text' }).inputValue()).toBe(UNFINISHED);
  const entries = page.getByTestId('history-entry');
  await entries.filter({ hasText: UNFINISHED }).filter({ hasText: 'interrupted' }).waitFor();
  const finished = entries.filter({ hasText: FINISHED });
  expect(await finished.textContent()).not.toContain('interrupted');
  await finished.getByRole('button', { name: /^Play/ }).click();
  await status(page, 'Playing');

  await page.goto('/playlist');
  await page.getByTestId('take').nth(1).waitFor();
  expect(await page.getByTestId('take-state').allTextContents()).toEqual(['ready', 'ready']);
  await page.getByRole('button', { name: 'Play take 2' }).click();
  await page.getByTestId('play-through').filter({ hasText: 'Stop' }).waitFor();
  expect(complaints).toEqual([]);
  await context.close();
});

async function makeTakes(page: Page): Promise<void> {
  await page.goto('/playlist');
  await page
    .getByTestId('draft')
    .fill('The first paragraph is short.\n\nThe second one is no longer.');
  await page.getByRole('button', { name: 'Cut into takes' }).click();
  await page.getByTestId('generate').click();
  await page.getByTestId('total').filter({ hasText: '2 of 2 takes' }).waitFor({ timeout: 60_000 });
}

/** The states of the entries as they are on the disk. */
async function keptStates(page: Page): Promise<readonly string[]> {
  return await page.evaluate(
    () =>
      new Promise<string[]>((resolve, reject) => {
        const opening = indexedDB.open('chatterbox-history');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const all = opening.result.transaction('entries').objectStore('entries').getAll();
          all.onsuccess = () => resolve(all.result.map(({ state }) => state));
          opening.result.close();
        };
      }),
  );
}

/** The browser itself, and not one of its children. */
function browserOf(profile: string): number {
  return processWith(
    (words) =>
      words.includes(`--user-data-dir=${profile}`) &&
      !words.some((word) => word.startsWith('--type=')),
  );
}
