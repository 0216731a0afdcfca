import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, status, visit, write } from './browser';

const KEY = process.env.CHATTERBOX_API_KEY ?? ''; // one that the stack knows, which asks for it
const WRONG_KEY = `cb_aaaaaaaa_${'a'.repeat(52)}`;
const TEXT = 'This text waits until the server knows who asks.';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

test('asks for a key, refuses a wrong one, and loses no text meanwhile', async () => {
  const { context, page } = await visit(browser);
  await page.getByText('The server asks for a key.').waitFor();
  await write(page, TEXT);
  await page.getByTestId('speak').click();
  await status(page, 'Failed');
  await page.getByRole('alert').filter({ hasText: 'The API key is missing or wrong.' }).waitFor();

  await enterKey(page, WRONG_KEY);
  await page.getByText('The server does not accept this API key.').waitFor();
  await page.getByRole('button', { name: 'Test the connection' }).click();
  await page.getByRole('alert').filter({ hasText: 'The API key is missing or wrong.' }).waitFor();

  await enterKey(page, KEY);
  await page.getByRole('button', { name: 'Test the connection' }).click();
  await page.getByText(/^It answers in/).waitFor();
  expect(await page.getByText('The server does not accept this API key.').count()).toBe(0);

  await page.getByRole('link', { name: 'Speak' }).click();
  expect(await page.getByRole('textbox', { name: 'Text' }).inputValue()).toBe(TEXT);
  await page.getByTestId('speak').click();
  await status(page, 'Done');
  expect(await page.getByRole('alert').count()).toBe(0);
  await context.close();
});

async function enterKey(page: Page, key: string): Promise<void> {
  await page.getByRole('link', { name: 'Settings', exact: true }).click();
  await page.getByLabel('API key').fill(key);
}
