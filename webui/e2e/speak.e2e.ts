import { readdirSync, readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { backends, launch, streams, until, visit } from './browser';

const SENTENCE = 'The page speaks this sentence and plays it while it comes.';
const LONG = 'This sentence is one of many, and nobody hears it to its end. '.repeat(30);

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

async function write(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Text' }).fill(text);
}

async function status(page: Page, wanted: string | RegExp, timeout = 60_000): Promise<void> {
  await page.getByTestId('status').filter({ hasText: wanted }).waitFor({ timeout });
}

async function gaps(page: Page): Promise<string> {
  const figures = await page.getByTestId('figures').textContent();
  return /Gaps\s*(\d+)/.exec(figures ?? '')?.[1] ?? '';
}

test('speaks, is heard without a gap, and remembers', async () => {
  const { context, page, complaints } = await visit(browser);
  await write(page, SENTENCE);
  await page.getByTestId('speak').click();
  await status(page, 'Playing');
  await status(page, 'Done');
  expect(await gaps(page)).toBe('0');
  expect(await page.getByTestId('figures').textContent()).toMatch(/First sound\s*\d/);

  await page.reload();
  expect(await page.getByRole('textbox', { name: 'Text' }).inputValue()).toBe(SENTENCE);
  const kept = page.getByText(SENTENCE.slice(0, 30));
  await kept.last().waitFor();
  await page.getByRole('button', { name: /^Play/ }).last().click(); // its sound is kept as well
  await page
    .getByRole('button', { name: /^(Pause|Stop)/ })
    .first()
    .waitFor();
  expect(complaints).toEqual([]);
  await context.close();
});

test('stops at once, on the server too', async () => {
  const { context, page } = await visit(browser);
  await write(page, LONG);
  await page.getByTestId('speak').click();
  await status(page, /Playing|Speaking/);
  await page.getByTestId('stop').click();
  await status(page, 'Stopped');
  await until(async () => (await streams()) === 0);
  await context.close();
});

test('is usable with the keyboard alone', async () => {
  const { context, page } = await visit(browser);
  const text = page.getByRole('textbox', { name: 'Text' });
  for (let presses = 0; presses < 30; presses++) {
    await page.keyboard.press('Tab');
    if (await text.evaluate((element) => element === document.activeElement)) break;
  }
  await page.keyboard.type('Typed, not clicked.');
  await page.keyboard.press('Control+Enter');
  await status(page, 'Done');
  await context.close();
});

test('goes on without a word when the server that speaks is killed', async () => {
  const { context, page } = await visit(browser);
  await write(page, LONG.slice(0, 700));
  await page.getByTestId('speak').click();
  await status(page, /Playing|Speaking/);
  const busy = (await backends()).find((each) => each.active_streams > 0);
  if (busy !== undefined) process.kill(listeningOn(busy.address), 'SIGKILL');
  await status(page, 'Done', 85_000);
  expect(await page.getByRole('alert').count()).toBe(0);
  expect(busy).toBeDefined();
  await context.close();
});

/** The process that was told to listen there. */
function listeningOn(address: string): number {
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      if (words[words.indexOf('--listen') + 1] === address) return Number(name);
    } catch {
      // It has ended in the meantime.
    }
  }
  throw new Error(`nobody listens on ${address}`);
}
