import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { backends, launch, processWith, status, streams, until, visit, write } from './browser';

const SENTENCE = 'The page speaks this sentence and plays it while it comes.';
const LIT = 'Early today “the market” was still empty — only [pause:300ms] one baker sang.';
const LIT_WORDS = 'Early today the market was still empty only one baker sang'.split(' ');
const NO_GUIDANCE = `!${'\0'.repeat(8)}`; // `cfg_weight`, field 4, a double
const LONG = 'This sentence is one of many, and nobody hears it to its end. '.repeat(30);

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

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

test('lights each word while it is heard, and again from the history', async () => {
  const { context, page, complaints } = await visit(browser);
  await write(page, LIT);
  await watchLight(page);
  await page.getByTestId('speak').click();
  await status(page, 'Done');
  expectInOrder(await litWords(page), LIT_WORDS);

  await page.reload();
  await page.getByTestId('history-entry').getByRole('button', { name: /^Play/ }).click();
  const text = page.getByTestId('spoken-text');
  await text.waitFor();
  await page.getByTestId('stop').click();
  await watchLight(page);
  await text.click({ position: await placeOf(page, 'market') }); // plays on from there
  await status(page, 'Playing');
  await page.getByTestId('speak').waitFor();
  expectInOrder(await litWords(page), LIT_WORDS.slice(LIT_WORDS.indexOf('market')));
  expect(complaints).toEqual([]);
  await context.close();
});

test('speaks as the settings say, pressed before the models are known', async () => {
  const { context, page } = await visit(browser);
  await page.getByRole('slider', { name: 'Guidance' }).press('Home');
  await page.route('**/*.ModelsService/ListModels', async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await route.continue();
  });
  await page.reload();
  await write(page, LIT);
  await watchLight(page);
  const asked = page.waitForRequest('**/*.TextToSpeechService/Synthesize');
  await page.getByTestId('speak').click();
  expect((await asked).postDataBuffer()?.toString('latin1')).toContain(NO_GUIDANCE);
  await status(page, 'Done');
  expectInOrder(await litWords(page), LIT_WORDS);

  await page.reload();
  await page.getByTestId('speak').click();
  await page.getByTestId('stop').click(); // while it waits
  await status(page, 'Stopped');
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
  await write(page, LONG.slice(0, 400));
  await page.getByTestId('speak').click();
  await status(page, /Playing|Speaking/);
  const busy = (await backends()).find((each) => each.active_streams > 0);
  if (busy !== undefined) process.kill(listeningOn(busy.address), 'SIGKILL');
  await status(page, 'Done', 85_000);
  expect(await page.getByRole('alert').count()).toBe(0);
  expect(busy).toBeDefined();
  await context.close();
});

/** From now on writes down which words are lit. */
async function watchLight(page: Page): Promise<void> {
  await page.evaluate(() => {
    const lit: string[] = [];
    Object.assign(window, { lit });
    const look = (): void => {
      const word = [...(CSS.highlights.get('heard-now') ?? [])].join('');
      if (word !== '' && word !== lit.at(-1)) lit.push(word);
      requestAnimationFrame(look);
    };
    look();
  });
}

async function litWords(page: Page): Promise<readonly string[]> {
  return await page.evaluate(() => (window as unknown as { lit: string[] }).lit);
}

/** A slow machine may draw too few frames to show every word. */
function expectInOrder(lit: readonly string[], words: readonly string[]): void {
  expect(lit).toEqual(words.filter((word) => lit.includes(word)));
  expect(lit.length).toBeGreaterThan(words.length / 2);
}

/** The middle of a word of the text that is spoken. */
async function placeOf(page: Page, word: string): Promise<{ x: number; y: number }> {
  return await page.getByTestId('spoken-text').evaluate((box, sought) => {
    const text = box.firstChild as Text;
    const start = text.data.indexOf(sought);
    const range = new Range();
    range.setStart(text, start);
    range.setEnd(text, start + sought.length);
    const [inner, outer] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
    return {
      x: inner.left - outer.left + inner.width / 2,
      y: inner.top - outer.top + inner.height / 2,
    };
  }, word);
}

/** The process that was told to listen there. */
function listeningOn(address: string): number {
  return processWith((words) => words[words.indexOf('--listen') + 1] === address);
}
