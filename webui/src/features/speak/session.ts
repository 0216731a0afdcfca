/** One press of Speak: the stream, what is heard of it, and what is kept. */

import {
  chatterboxErrorOf,
  joinSamples,
  type Samples,
  type Speech,
  type SpeechSummary,
  toInt16,
  type WordTiming,
} from '@chatterbox/client';
import { create } from 'zustand';
import { onFirstSound } from '@/audio/first-sound';
import { Peaks } from '@/audio/peaks';
import { openPlayer, play, stopPlayback, usePlayback } from '@/audio/playback';
import { newId } from '@/lib/id';
import { loadModels } from '@/lib/queries';
import { chatterbox } from '@/lib/rpc';
import { loadSound, type Sound } from '@/speech/sounds';
import { estimatedMs, modelOf, type SpeechSettings, speakRequest } from '@/speech/speech-settings';
import { changeSpeech } from '@/speech/speech-store';
import { addEntry, changeEntry, findEntry, type HistoryEntry } from './history-store';

export type SessionState = 'empty' | 'waiting' | 'speaking' | 'complete' | 'stopped' | 'failed';

export interface Session {
  /** Of the entry in the history, and of the track that is played. */
  readonly id: string | undefined;
  readonly state: SessionState;
  readonly text: string;
  /** Grows while sound arrives; the same object throughout. */
  readonly peaks: Peaks | undefined;
  /** When they are said, where the model can tell; grows as `peaks` does. */
  readonly words: readonly WordTiming[] | undefined;
  readonly expectedMs: number;
  readonly firstSoundMs: number | undefined;
  readonly realTimeFactor: number | undefined;
  readonly summary: SpeechSummary | undefined;
  readonly warnings: readonly string[];
  readonly error: unknown;
}

const NONE: Session = {
  id: undefined,
  state: 'empty',
  text: '',
  peaks: undefined,
  words: undefined,
  expectedMs: 0,
  firstSoundMs: undefined,
  realTimeFactor: undefined,
  summary: undefined,
  warnings: [],
  error: undefined,
};
const BARS = 96;

export const useSession = create<Session>(() => NONE);

let call: AbortController | undefined;

export function isUnderWay({ state }: Session): boolean {
  return state === 'waiting' || state === 'speaking';
}

/** Speaks a text and keeps it; never throws: errors are in the session. */
export async function speak(text: string, settings: SpeechSettings): Promise<void> {
  stop();
  const pressedAt = performance.now();
  const controller = new AbortController();
  call = controller;
  const id = newId();
  const expectedMs = estimatedMs(text, settings.speakingRate);
  useSession.setState({ ...NONE, id, state: 'waiting', text, expectedMs });
  openPlayer(); // while this is still the click
  const { signal } = controller;
  // What the settings mean depends on the model, which a page just opened does not know yet.
  const models = await Promise.race([loadModels(), abortOf(signal)]).catch((error: unknown) => {
    finish(id, signal.aborted ? 'stopped' : 'failed', signal.aborted ? {} : { error });
  });
  if (models === undefined) return;
  const model = modelOf(models, settings);
  const unwatch = onFirstSound(id, () => {
    const firstSoundMs = performance.now() - pressedAt;
    if (isCurrent(id)) useSession.setState({ firstSoundMs });
    void changeEntry(id, { firstSoundMs });
  });
  const blocks: Int16Array[] = [];
  const wordTimings = model?.hasWordTimings ?? false;
  const request = { ...speakRequest(text, settings, model), wordTimings };
  const speech = chatterbox().speak(request, { signal });
  if (wordTimings) useSession.setState({ words: speech.words });
  const kept = keepBegin(id, text, settings);
  const onBlock = (samples: Samples): void => {
    blocks.push(toInt16(samples));
    const { peaks } = useSession.getState();
    peaks?.add(samples);
  };
  speech.started.then(
    ({ seed, voice, model: spokenBy, sampleRateHz }) => {
      if (!isCurrent(id)) return;
      useSession.setState({ state: 'speaking', peaks: new Peaks(sampleRateHz) });
      if (!settings.isSeedLocked) changeSpeech({ seed: String(seed) });
      void changeEntry(id, { seed: String(seed), voice, model: spokenBy });
    },
    () => undefined,
  );
  // Settles when all sound is here, which is before all of it was heard.
  const settled = speech.summary.then(
    (summary) => finish(id, 'complete', { summary, realTimeFactor: summary.realTimeFactor }),
    (error: unknown) =>
      finish(id, chatterboxErrorOf(error).kind === 'cancelled' ? 'stopped' : 'failed', { error }),
  );
  const played = play(id, speech, { signal, onBlock })
    .catch((error: unknown) => {
      if (isCurrent(id) && !signal.aborted) useSession.setState({ state: 'failed', error });
      return 'stopped' as const;
    })
    .then((outcome) => {
      if (outcome === 'stopped') controller.abort(); // nobody listens, so nobody needs to speak
    });
  await settled;
  if (isCurrent(id))
    useSession.setState({ warnings: speech.warnings.map(({ message }) => message) });
  await kept;
  await keepEnd(id, blocks, speech);
  await played;
  unwatch();
}

/** Stops at once, here and on the server. */
export function stop(): void {
  const { id } = useSession.getState();
  if (usePlayback.getState().trackId === id) stopPlayback();
  call?.abort();
  call = undefined;
}

/** Plays an entry of the history from anywhere. */
export async function replay(id: string, startMs = 0): Promise<void> {
  const sound = await loadSound(id);
  const entry = findEntry(id);
  if (sound === undefined || entry === undefined) return;
  if (useSession.getState().id !== id) {
    stop();
    useSession.setState(sessionOf(entry, sound));
  }
  await play(id, sound, { startMs });
}

function sessionOf(entry: HistoryEntry, { samples, sampleRateHz, words }: Sound): Session {
  const peaks = Peaks.of(samples, sampleRateHz);
  return {
    ...NONE,
    id: entry.id,
    state: entry.state === 'complete' ? 'complete' : 'stopped',
    text: entry.text,
    peaks,
    words,
    expectedMs: peaks.durationMs,
    firstSoundMs: entry.firstSoundMs,
    realTimeFactor: entry.realTimeFactor,
  };
}

async function abortOf(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', reject, { once: true });
  });
}

function isCurrent(id: string): boolean {
  return useSession.getState().id === id;
}

function finish(id: string, state: SessionState, about: Partial<Session>): void {
  if (!isCurrent(id) || useSession.getState().state === 'failed') return;
  useSession.setState({ state, ...about, ...(state === 'stopped' ? { error: undefined } : {}) });
}

async function keepBegin(id: string, text: string, settings: SpeechSettings): Promise<void> {
  const entry: HistoryEntry = {
    id,
    createdAt: Date.now(),
    text,
    settings,
    state: 'speaking',
    durationMs: 0,
    bars: [],
  };
  await addEntry(entry).catch(() => undefined); // a full disk must not silence anybody
}

async function keepEnd(
  id: string,
  blocks: readonly Int16Array[],
  { format, words }: Speech,
): Promise<void> {
  const session = useSession.getState();
  const state = session.id === id ? session.state : 'stopped';
  const ended = state === 'complete' || state === 'failed' ? state : 'stopped';
  try {
    const { sampleRateHz } = await format;
    const samples = joinSamples(blocks);
    const peaks = Peaks.of(samples, sampleRateHz);
    const { realTimeFactor } = session.id === id ? session : {};
    const change = {
      state: ended,
      durationMs: (samples.length / sampleRateHz) * 1_000,
      bars: peaks.bars(BARS),
      ...(realTimeFactor === undefined ? {} : { realTimeFactor }),
    } as const;
    const sound = { samples, sampleRateHz, ...(words.length === 0 ? {} : { words }) };
    await changeEntry(id, change, samples.length === 0 ? undefined : sound);
  } catch {
    await changeEntry(id, { state: ended }).catch(() => undefined);
  }
}
