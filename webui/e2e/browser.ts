import { readdirSync, readFileSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { onTestFailed } from 'vitest';

/** Where the stack is that serves the page. */
export const URL_OF_STACK = process.env.CHATTERBOX_URL ?? 'http://127.0.0.1:8080';

const SCREENS = ['/', '/playlist', '/voices', '/convert', '/cluster', '/settings'] as const;
export const screens: readonly string[] = SCREENS;

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'];

export async function launch(...flags: readonly string[]): Promise<Browser> {
  return await chromium.launch({ executablePath: EXECUTABLE, args: [...FLAGS, ...flags] });
}

/** A browser that keeps what its pages keep, in this folder. */
export async function launchFor(profile: string): Promise<Visit> {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    args: FLAGS,
    baseURL: URL_OF_STACK,
  });
  return await open(context);
}

export interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What the page complained of. */
  readonly complaints: string[];
}

/** A visitor without history. */
export async function visit(
  browser: Browser,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<Visit> {
  return await open(await browser.newContext({ baseURL: URL_OF_STACK, ...options }));
}

/** Opens the page; if the test fails, it tells what the visitor saw. */
async function open(context: BrowserContext): Promise<Visit> {
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  onTestFailed(async () => {
    const seen = page.isClosed() ? 'the page is closed' : await sight(page);
    process.stderr.write(`${seen}\ncomplaints: ${JSON.stringify(complaints)}\n`);
  });
  await page.goto('/');
  return { context, page, complaints };
}

/** A page in words: news and alerts first, then all that a screen reader has. */
async function sight(page: Page): Promise<string> {
  const texts = async (selector: string): Promise<string> =>
    (await page.locator(selector).allInnerTexts()).filter(Boolean).join(' | ');
  try {
    return [
      `page: ${page.url()}`,
      `alerts: ${await texts('[role=alert]')}`,
      `news: ${await texts('[role=status], [aria-live]')}`,
      await page.locator('body').ariaSnapshot(),
    ].join('\n');
  } catch (reason) {
    return `the page cannot be read: ${String(reason)}`;
  }
}

export async function write(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Text' }).fill(text);
}

/** Waits for what the Speak screen says that it does. */
export async function status(page: Page, wanted: string | RegExp, timeout = 60_000): Promise<void> {
  await page.getByTestId('status').filter({ hasText: wanted }).waitFor({ timeout });
}

export interface Backend {
  readonly address: string;
  readonly active_streams: number;
}

/** The model servers as the balancer sees them. */
export async function backends(): Promise<readonly Backend[]> {
  const answer = await fetch(`${URL_OF_STACK}/v1/backends`);
  const body = (await answer.json()) as { backends: Backend[] };
  return body.backends;
}

/** How many streams the servers speak. */
export async function streams(): Promise<number> {
  return (await backends()).reduce((sum, { active_streams }) => sum + active_streams, 0);
}

/** A WAV file of this text. */
export async function spoken(text: string): Promise<Buffer> {
  const answer = await fetch(`${URL_OF_STACK}/v1/audio/speech`, {
    method: 'POST',
    body: JSON.stringify({ input: text, response_format: 'wav' }),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return Buffer.from(await answer.arrayBuffer());
}

export async function until(holds: () => Promise<boolean>, withinMs = 20_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('this never came to hold');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The process whose command line is like this. */
export function processWith(isIt: (words: readonly string[]) => boolean): number {
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      if (isIt(readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0'))) return Number(name);
    } catch {
      // It has ended in the meantime.
    }
  }
  throw new Error('there is no such process');
}
