/** Makes the sounds of takes, two at a time; goes on by itself when a lost server is back. */

import { chatterboxErrorOf, durationOfPcmMs } from '@chatterbox/client';
import { create } from 'zustand';
import { Peaks } from '@/audio/peaks';
import { explain } from '@/lib/explain';
import { loadModels } from '@/lib/queries';
import { chatterbox } from '@/lib/rpc';
import { keepSound } from '@/speech/sounds';
import { modelOf, type SpeechSettings, speakRequest } from '@/speech/speech-settings';
import { useSpeechStore } from '@/speech/speech-store';
import { changeTake, recipe, type Take, usePlaylist } from './playlist-store';

const AT_ONCE = 2;
const BARS = 96;

export const useProduction = create<{ readonly isRunning: boolean }>(() => ({ isRunning: false }));

let stopper = new AbortController();
let queue: string[] = [];
let workers = 0;

/** Adds takes to what is to be made; those that wait already are not made twice. */
export function generate(ids: readonly string[]): void {
  if (stopper.signal.aborted) stopper = new AbortController();
  const added = ids.filter((id) => !queue.includes(id) && stateOf(id) !== 'generating');
  queue.push(...added);
  for (const id of added) changeTake(id, { state: 'waiting' });
  while (workers < AT_ONCE && workers < queue.length) void work(stopper.signal);
  useProduction.setState({ isRunning: workers > 0 });
}

export function stopProduction(): void {
  stopper.abort();
  for (const id of queue) rest(id);
  queue = [];
}

function takeOf(id: string): Take | undefined {
  return usePlaylist.getState().takes.find((take) => take.id === id);
}

function stateOf(id: string): Take['state'] | undefined {
  return takeOf(id)?.state;
}

/** Back to what it was before it waited. */
function rest(id: string): void {
  changeTake(id, { state: (takeOf(id)?.durationMs ?? 0) > 0 ? 'ready' : 'empty' });
}

async function work(signal: AbortSignal): Promise<void> {
  workers += 1;
  try {
    for (let id = queue.shift(); id !== undefined && !signal.aborted; id = queue.shift()) {
      await make(id, signal);
    }
  } finally {
    workers -= 1;
    useProduction.setState({ isRunning: workers > 0 });
  }
}

async function make(id: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const take = takeOf(id);
    if (take === undefined) return; // deleted meanwhile
    changeTake(id, { state: 'generating' });
    try {
      await makeOnce(take, useSpeechStore.getState().settings, signal);
      return;
    } catch (reason) {
      const error = chatterboxErrorOf(reason);
      if (signal.aborted || error.kind === 'cancelled') {
        rest(id);
        return;
      }
      if (error.kind !== 'unavailable' && error.kind !== 'overloaded') {
        const { title, advice } = explain(reason);
        changeTake(id, { state: 'failed', error: `${title} ${advice}` });
        return;
      }
      changeTake(id, { state: 'waiting' });
      await pause(error.retryAfterMs, signal);
      if (signal.aborted) {
        rest(id);
        return;
      }
    }
  }
}

async function makeOnce(take: Take, settings: SpeechSettings, signal: AbortSignal): Promise<void> {
  const request = speakRequest(take.text, settings, modelOf(await loadModels(), settings));
  const { samples, sampleRateHz, started } = await chatterbox()
    .speak(request, { signal })
    .collect();
  await keepSound(take.id, { samples, sampleRateHz });
  changeTake(take.id, {
    state: 'ready',
    durationMs: durationOfPcmMs({ samples, sampleRateHz }),
    bars: Peaks.of(samples, sampleRateHz).bars(BARS),
    madeFrom: recipe(take.text, settings),
    seed: String(started.seed),
  });
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
