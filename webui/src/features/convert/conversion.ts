/** One press of Convert: the stream, what is heard of it, and what it left. */

import { chatterboxErrorOf, isChatterboxError } from '@chatterbox/client';
import { create } from 'zustand';
import { onFirstSound } from '@/audio/first-sound';
import { Peaks } from '@/audio/peaks';
import { isPlaying, type Playback, play, stopPlayback, usePlayback } from '@/audio/playback';
import { Tape } from '@/audio/tape';
import { complain } from '@/components/ui/toast';
import { newId } from '@/lib/id';
import { chatterbox } from '@/lib/rpc';
import type { Sound } from '@/speech/sounds';
import { forget, keep, kept } from './keeping';

export interface Conversion {
  readonly state: 'empty' | 'waiting' | 'converting' | 'complete' | 'stopped' | 'failed';
  /** Of the track that is played. */
  readonly id: string | undefined;
  /** Name of the voice that speaks. */
  readonly voice: string | undefined;
  /** Grow while sound arrives; the same objects throughout. */
  readonly tape: Tape | undefined;
  readonly peaks: Peaks | undefined;
  /** All of it, or as much as came, once nothing more will. */
  readonly sound: Sound | undefined;
  readonly firstSoundMs: number | undefined;
  readonly realTimeFactor: number | undefined;
  readonly warnings: readonly string[];
  readonly error: unknown;
}

const NONE: Conversion = {
  state: 'empty',
  id: undefined,
  voice: undefined,
  tape: undefined,
  peaks: undefined,
  sound: undefined,
  firstSoundMs: undefined,
  realTimeFactor: undefined,
  warnings: [],
  error: undefined,
};

export const useConversion = create<Conversion>(() => NONE);

let call: AbortController | undefined;

export function isUnderWay({ state }: Conversion): boolean {
  return state === 'waiting' || state === 'converting';
}

/** Whether there is something to stop: the call, or its sound. */
export function isBusyWith(conversion: Conversion, playback: Playback): boolean {
  const isMine = conversion.id !== undefined && playback.trackId === conversion.id;
  const isHeard = isMine && (isPlaying(playback) || playback.phase === 'paused');
  return isUnderWay(conversion) || isHeard;
}

/**
 * Converts, and plays what comes; never throws: errors are in the store. It goes on when something
 * else is played meanwhile, such as its source.
 */
export async function convert(recording: Blob, voice: string): Promise<void> {
  stop();
  const controller = new AbortController();
  call = controller;
  const id = newTrack();
  const request = { recording, ...(voice === '' ? {} : { voice }) };
  const conversion = chatterbox().convert(request, { signal: controller.signal });
  const tape = new Tape(conversion.format);
  useConversion.setState({ ...NONE, id, tape, state: 'waiting' });
  const pressedAt = performance.now();
  onFirstSound(id, () => change(id, { firstSoundMs: performance.now() - pressedAt }));
  void forget('result');
  void hear();
  try {
    for await (const event of conversion.events()) {
      if (event.kind === 'started') {
        const peaks = new Peaks(event.sampleRateHz);
        change(id, { state: 'converting', voice: event.voice, peaks });
      } else if (event.kind === 'audio') {
        tape.add(event.samples);
        if (isCurrent(id)) useConversion.getState().peaks?.add(event.samples);
      } else if (event.kind === 'summary') {
        change(id, { state: 'complete', realTimeFactor: event.realTimeFactor });
      }
    }
  } catch (error) {
    const wasStopped = chatterboxErrorOf(error).kind === 'cancelled';
    change(id, wasStopped ? { state: 'stopped' } : { state: 'failed', error });
  }
  tape.end();
  change(id, { warnings: conversion.warnings.map(({ message }) => message) });
  await finish(id, tape);
}

/** Brings back what there was before the page was loaded again. */
export async function loadConversion(): Promise<void> {
  const result = await kept('result');
  if (result === undefined || useConversion.getState().state !== 'empty') return;
  const { samples, sampleRateHz } = result.sound;
  const peaks = Peaks.of(samples, sampleRateHz);
  useConversion.setState({ ...NONE, ...result, id: newTrack(), state: 'complete', peaks });
}

/** Plays what there is; from anywhere once all of it is there. */
export async function hear(startMs = 0): Promise<void> {
  const { id, sound, tape } = useConversion.getState();
  const source = sound ?? tape;
  if (id === undefined || source === undefined) return;
  try {
    await play(id, source, { startMs });
  } catch (error) {
    if (!isChatterboxError(error)) complain(error); // those are in the store
  }
}

/** Stops at once, here and on the server. What has come stays. */
export function stop(): void {
  const { id } = useConversion.getState();
  if (id !== undefined && usePlayback.getState().trackId === id) stopPlayback();
  call?.abort();
  call = undefined;
}

/** Stops, and forgets what there was. */
export function clear(): void {
  stop();
  useConversion.setState(NONE);
  void forget('result');
}

function newTrack(): string {
  return `converted:${newId()}`;
}

function isCurrent(id: string): boolean {
  return useConversion.getState().id === id;
}

function change(id: string, about: Partial<Conversion>): void {
  if (isCurrent(id)) useConversion.setState(about);
}

/** Nothing more will come: what has come is a sound of its own. */
async function finish(id: string, tape: Tape): Promise<void> {
  const samples = tape.joined();
  if (samples.length === 0 || !isCurrent(id)) return;
  const { sampleRateHz } = await tape.format;
  const sound = { samples, sampleRateHz };
  change(id, { sound });
  const { state, voice = '' } = useConversion.getState();
  if (isCurrent(id) && state === 'complete') await keep('result', { voice, sound });
}
