/** The takes one after the other: to listen to, and as files. */

import { encodeWav, joinSamples, type PcmStream } from '@chatterbox/client';
import { downloadZip } from 'client-zip';
import { fileStem } from '@/lib/format';
import { saveFile } from '@/lib/save-file';
import { loadSound, type Sound } from '@/speech/sounds';
import type { Playlist, Take } from './playlist-store';

export interface Cue {
  readonly take: Take;
  readonly startMs: number;
  /** Where the next one begins. */
  readonly endMs: number;
}

/** When each take that has a sound begins and ends, its gap included. */
export function cues(takes: readonly Take[], gapS: number): Cue[] {
  let startMs = 0;
  return takes
    .filter(({ durationMs }) => durationMs > 0)
    .map((take) => {
      const cue = { take, startMs, endMs: startMs + take.durationMs + gapS * 1_000 };
      startMs = cue.endMs;
      return cue;
    });
}

/** The sound of the whole from `fromMs` on, read from the store as it is played. */
export function reelStream(list: readonly Cue[], gapS: number, fromMs: number): PcmStream {
  const begin = Math.max(
    0,
    list.findIndex(({ endMs }) => endMs > fromMs),
  );
  const first = list[begin];
  const rate = first === undefined ? Promise.resolve(24_000) : rateOf(first.take);
  return {
    format: rate.then((sampleRateHz) => ({ sampleRateHz })),
    async *[Symbol.asyncIterator]() {
      const sampleRateHz = await rate;
      for (const { take, startMs } of list.slice(begin)) {
        const sound = await loadSound(take.id);
        if (sound === undefined) continue;
        const samples = joinSamples([atRate(sound, sampleRateHz), silence(gapS, sampleRateHz)]);
        const skipped = Math.max(0, Math.round(((fromMs - startMs) / 1_000) * sampleRateHz));
        yield samples.subarray(skipped);
      }
    },
  };
}

export async function exportJoined(playlist: Playlist): Promise<void> {
  const sounds = await soundsOf(playlist.takes);
  const sampleRateHz = sounds[0]?.sampleRateHz ?? 24_000;
  const gap = silence(playlist.gapS, sampleRateHz);
  const parts = sounds.flatMap((sound, index) =>
    index === 0 ? [atRate(sound, sampleRateHz)] : [gap, atRate(sound, sampleRateHz)],
  );
  const file = encodeWav({ samples: joinSamples(parts), sampleRateHz });
  saveFile(`${fileStem(playlist.title, 'playlist')}.wav`, new Blob([file], { type: 'audio/wav' }));
}

export async function exportZip(playlist: Playlist): Promise<void> {
  const sounding = playlist.takes.filter(({ durationMs }) => durationMs > 0);
  const digits = String(sounding.length).length;
  async function* files() {
    for (const [index, take] of sounding.entries()) {
      const sound = await loadSound(take.id);
      if (sound === undefined) continue;
      const number = String(index + 1).padStart(Math.max(2, digits), '0');
      yield { name: `${number}-${fileStem(take.text, 'take')}.wav`, input: encodeWav(sound) };
    }
  }
  const archive = await downloadZip(files()).blob();
  saveFile(`${fileStem(playlist.title, 'playlist')}.zip`, archive);
}

async function soundsOf(takes: readonly Take[]): Promise<Sound[]> {
  const found = await Promise.all(takes.map(({ id }) => loadSound(id)));
  return found.filter((sound) => sound !== undefined);
}

async function rateOf(take: Take): Promise<number> {
  return (await loadSound(take.id))?.sampleRateHz ?? 24_000;
}

function silence(seconds: number, sampleRateHz: number): Int16Array<ArrayBuffer> {
  return new Int16Array(Math.round(seconds * sampleRateHz));
}

/** Takes of another model may have another rate; between two samples a straight line will do. */
export function atRate({ samples, sampleRateHz }: Sound, rate: number): Int16Array<ArrayBuffer> {
  if (sampleRateHz === rate) return samples;
  const step = sampleRateHz / rate;
  return Int16Array.from({ length: Math.floor(samples.length / step) }, (_, index) => {
    const at = Math.floor(index * step);
    const here = samples[at] ?? 0;
    return here + ((samples[at + 1] ?? here) - here) * (index * step - at);
  });
}
