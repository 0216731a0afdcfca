/**
 * How the page feels, measured in a real browser against a running stack (`make run`, nothing else running):
 *
 *     npm run feel [-- --url http://127.0.0.1:8080] [--presses 20] [--minutes 10]
 *
 * From the press of Speak to the first sample at the speaker, and how much of it is not the server's; how much
 * the layout shifts meanwhile; frames a second while a long playlist plays. Sounds go nowhere: the
 * browser has no device, and counts its samples all the same.
 */

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8080' },
    presses: { type: 'string', default: '20' },
    minutes: { type: 'string', default: '10' },
    chromium: { type: 'string', default: process.env.CHROMIUM ?? '/usr/bin/chromium' },
  },
});
const SENTENCE = 'The quick brown fox jumps over the lazy dog, and nobody minds at all.';
const FRAMES_S = 10;

const browser = await chromium.launch({
  executablePath: values.chromium,
  args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
});
const page = await browser.newPage({ baseURL: values.url, viewport: { width: 1440, height: 900 } });

/** Adds up what has moved without anybody's doing. */
await page.addInitScript(() => {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
});

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

function milliseconds(text) {
  const [, number, unit] = /([\d.]+) (ms|s)\b/.exec(text);
  return Number(number) * (unit === 's' ? 1_000 : 1);
}

async function pressed() {
  await page.getByTestId('speak').click();
  await page.getByTestId('status').filter({ hasText: 'Done' }).waitFor();
  const figure = page.getByTestId('figures').locator('div').first();
  const [, share] = (await figure.getAttribute('title')).split(';');
  const whole = milliseconds(await figure.locator('dd').textContent());
  await page.waitForTimeout(300);
  return { whole, server: milliseconds(share) };
}

async function speakScreen() {
  await page.goto('/');
  const text = page.getByRole('textbox', { name: 'Text' });
  await text.fill(SENTENCE);
  await text.press('End'); // as if it had been typed
  await page.waitForTimeout(1_000);
  const first = await pressed();
  const runs = [];
  for (let press = 0; press < Number(values.presses); press++) runs.push(await pressed());
  const beyond = runs.map(({ whole, server }) => whole - server);
  console.log(`first press: ${first.whole} ms, of it at the server ${first.server} ms`);
  console.log(
    `${runs.length} more: median ${median(runs.map(({ whole }) => whole))} ms, at the server`,
    `${median(runs.map(({ server }) => server))} ms; beyond it ${median(beyond)} ms, at most ${Math.max(...beyond)} ms`,
  );
  console.log(`layout shift: ${(await page.evaluate(() => window.shifted)).toFixed(4)}`);
}

/** The times between frames for a while, in milliseconds. */
async function frames() {
  return await page.evaluate(
    async (seconds) =>
      await new Promise((resolve) => {
        const gaps = [];
        const begun = performance.now();
        let last = begun;
        requestAnimationFrame(function next(now) {
          gaps.push(now - last);
          last = now;
          if (now - begun < seconds * 1_000) requestAnimationFrame(next);
          else resolve(gaps.slice(1));
        });
      }),
    FRAMES_S,
  );
}

async function playlist() {
  await page.goto('/playlist');
  const count = Math.ceil((Number(values.minutes) * 60) / 4.6); // a sentence takes so many seconds
  const paragraph = `${SENTENCE} `.repeat(4);
  await page.getByTestId('draft').fill(
    Array(Math.ceil(count / 4))
      .fill(paragraph)
      .join('\n\n'),
  );
  await page.getByRole('button', { name: 'Cut into takes' }).click();
  await page.getByTestId('generate').click();
  const total = page.getByTestId('total');
  await total.filter({ hasText: /(\d+) of \1 take/ }).waitFor({ timeout: 1_800_000 });
  console.log(`playlist: ${(await total.textContent()).trim()}`);
  const still = await frames();
  await page.getByTestId('play-through').click();
  await page.waitForTimeout(1_000);
  const playing = await frames();
  for (const [name, gaps] of Object.entries({ still, playing })) {
    const late = gaps.filter((gap) => gap > 25).length;
    console.log(
      `${name}: ${(1_000 / (gaps.reduce((a, b) => a + b, 0) / gaps.length)).toFixed(1)} frames a second,`,
      `${late} of ${gaps.length} late, the longest gap ${Math.max(...gaps).toFixed(0)} ms`,
    );
  }
  console.log(`layout shift: ${(await page.evaluate(() => window.shifted)).toFixed(4)}`);
}

await speakScreen();
await playlist();
await browser.close();
