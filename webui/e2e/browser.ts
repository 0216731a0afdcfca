import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

/** Where the stack is that serves the page. */
export const URL_OF_STACK = process.env.CHATTERBOX_URL ?? 'http://127.0.0.1:8080';

const SCREENS = ['/', '/playlist', '/voices', '/cluster', '/settings'] as const;
export const screens: readonly string[] = SCREENS;

export async function launch(): Promise<Browser> {
  return await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
  });
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
  const context = await browser.newContext({ baseURL: URL_OF_STACK, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  await page.goto('/');
  return { context, page, complaints };
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

export async function until(holds: () => Promise<boolean>, withinMs = 20_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('this never came to hold');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
