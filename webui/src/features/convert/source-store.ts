/** The recording that is to be converted. Kept in this browser until there is another. */

import { encodeWav, MAX_RECORDING_BYTES } from '@chatterbox/client';
import { create } from 'zustand';
import { decode } from '@/audio/decode';
import { Peaks } from '@/audio/peaks';
import type { Sound } from '@/speech/sounds';
import { forget, keep, kept } from './keeping';

export type Source =
  | { readonly kind: 'none' }
  | { readonly kind: 'reading'; readonly file: File }
  | ReadySource;

export interface ReadySource {
  readonly kind: 'ready';
  readonly file: File;
  /** Absent where this browser cannot read the file; the server may. */
  readonly sound?: SeenSound;
}

/** A sound and its outline. */
export interface SeenSound extends Sound {
  readonly peaks: Peaks;
}

const WAV_HEADER_BYTES = 44;
export const useSource = create<Source>(() => ({ kind: 'none' }));

/** Brings back what was there before the page was loaded again. */
export async function loadSource(): Promise<void> {
  const file = await kept('source');
  if (file !== undefined && useSource.getState().kind === 'none') await read(file);
}

export async function takeSource(file: File): Promise<void> {
  await Promise.all([read(file), keep('source', file)]);
}

export async function dropSource(): Promise<void> {
  useSource.setState({ kind: 'none' }, true);
  await forget('source');
}

async function read(file: File): Promise<void> {
  const reading = { kind: 'reading', file } as const;
  useSource.setState(reading, true);
  const sound = await decode(file);
  if (useSource.getState() !== reading) return; // another was taken meanwhile
  const seen = sound && { ...sound, peaks: Peaks.of(sound.samples, sound.sampleRateHz) };
  useSource.setState({ kind: 'ready', file, ...(seen && { sound: seen }) }, true);
}

/** Whether the server takes the file, or at least the sound in it. */
export function isSmallEnough({ file, sound }: ReadySource): boolean {
  const soundBytes = sound === undefined ? file.size : sound.samples.byteLength + WAV_HEADER_BYTES;
  return Math.min(file.size, soundBytes) <= MAX_RECORDING_BYTES;
}

/** What to send: the file as it is, or where that is too large the sound in it. */
export function recordingOf({ file, sound }: ReadySource): Blob {
  if (file.size <= MAX_RECORDING_BYTES || sound === undefined) return file;
  return new Blob([encodeWav(sound)], { type: 'audio/wav' });
}
