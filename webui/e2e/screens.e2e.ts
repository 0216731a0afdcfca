import { mkdtempSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, screens, spoken, status, visit, write } from './browser';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const REFERENCE =
  'Early in the morning the market square is still empty, and only the baker is awake. ' +
  'Then the first carts arrive, somebody laughs, and the day has begun.';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

async function violations(page: Page): Promise<readonly string[]> {
  await page.addScriptTag({ path: AXE });
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: () => Promise<{ violations: Violation[] }> };
    };
    return (await axe.run()).violations;
  });
  return found.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
}

test.each(['light', 'dark'] as const)(
  'keeps the rules of accessibility, %s',
  async (colorScheme) => {
    // The page's own policy lets no test script in.
    const { context, page, complaints } = await visit(browser, { colorScheme, bypassCSP: true });
    for (const screen of screens) {
      await page.goto(screen);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.waitForTimeout(300); // what fades in has its contrast then
      expect(await violations(page), screen).toEqual([]);
    }
    await page.goto('/');
    await write(page, REFERENCE);
    await page.getByTestId('speak').click();
    await status(page, 'Playing');
    expect(await violations(page), 'while words are lit').toEqual([]);
    expect(complaints).toEqual([]);
    await context.close();
  },
);

test('fits a phone without scrolling sideways', async () => {
  const { context, page } = await visit(browser, { viewport: { width: 390, height: 844 } });
  for (const screen of screens) {
    await page.goto(screen);
    await page.getByRole('heading', { level: 1 }).waitFor();
    const excess = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(excess, screen).toBeLessThanOrEqual(0);
  }
  await context.close();
});

test('makes a voice of a recording, and speaks with it', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'voice-')), 'reference.wav');
  writeFileSync(file, await spoken(REFERENCE));

  const { context, page } = await visit(browser);
  await page.goto('/voices');
  await page.getByRole('button', { name: 'New voice' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.locator('input[type=file]').setInputFiles(file);
  await dialog.getByLabel('Name', { exact: true }).fill('Copy of the tests');
  await dialog.getByRole('checkbox').check();
  await dialog.getByText('A good recording.').waitFor();
  await page.getByRole('button', { name: 'Make the voice' }).click();
  const card = page.getByTestId('voice').filter({ hasText: 'Copy of the tests' });
  await card.waitFor();
  await card.getByRole('button', { name: 'Speak with it' }).click();
  await page.getByRole('textbox', { name: 'Text' }).fill('Said in a new voice.');
  await page.getByTestId('speak').click();
  await page.getByTestId('status').filter({ hasText: 'Done' }).waitFor({ timeout: 60_000 });
  await context.close();
});

test('makes takes of a long text and exports them', async () => {
  const { context, page } = await visit(browser);
  await page.goto('/playlist');
  await page.getByTestId('draft').fill('The first paragraph is short.\n\nSo is the second one.');
  await page.getByRole('button', { name: 'Cut into takes' }).click();
  await page.getByTestId('generate').click();
  const total = page.getByTestId('total');
  await expect
    .poll(async () => (await total.textContent()) ?? '', { timeout: 60_000 })
    .toMatch(/(\d+) of \1 take/);
  await page.getByTestId('export').click();
  const download = page.waitForEvent('download');
  await page.getByRole('menuitem', { name: 'One WAV file' }).click();
  expect((await download).suggestedFilename()).toMatch(/\.wav$/);

  await page.reload(); // nothing is lost
  await expect.poll(async () => await page.getByTestId('take').count()).toBeGreaterThan(0);
  await context.close();
});
