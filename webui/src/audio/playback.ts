/** The one player of the page: whatever is played takes the place of what was. */

import {
  type Pcm,
  PcmPlayer,
  type PcmStream,
  type PlaybackOutcome,
  type PlaybackPhase,
  type PlayOptions,
} from '@chatterbox/client';
import { create } from 'zustand';
import { NoSoundError } from '@/lib/explain';
import { useSettings } from '@/lib/settings-store';

export interface Playback {
  /** Whose sound it is, such as an id of the history; `undefined` when all is silent. */
  readonly trackId: string | undefined;
  readonly phase: PlaybackPhase;
  readonly underrunCount: number;
  /** The browser holds sound back until a click. */
  readonly isSuspended: boolean;
}

const SILENT: Playback = {
  trackId: undefined,
  phase: 'idle',
  underrunCount: 0,
  isSuspended: false,
};

export const usePlayback = create<Playback>(() => SILENT);

let opened: { readonly prebufferMs: number; readonly player: Promise<PcmPlayer> } | undefined;
let ready: PcmPlayer | undefined;

/** Browsers let sound out only for a click: call it there, where `play` comes later. */
export function openPlayer(): void {
  playerOf().catch(() => undefined); // `play` will tell
}

async function playerOf(): Promise<PcmPlayer> {
  const { prebufferMs } = useSettings.getState();
  if (opened?.prebufferMs !== prebufferMs) {
    void opened?.player.then((old) => old.close()).catch(() => undefined);
    opened = { prebufferMs, player: open(prebufferMs) };
  }
  try {
    return await opened.player;
  } catch (reason) {
    opened = undefined;
    throw reason;
  }
}

async function open(prebufferMs: number): Promise<PcmPlayer> {
  if (typeof AudioWorkletNode === 'undefined') throw new NoSoundError();
  const player = await PcmPlayer.create({ prebufferMs });
  player.volume = useSettings.getState().volume;
  player.subscribe(() => {
    if (player === ready) usePlayback.setState({ ...player.state });
  });
  ready = player;
  return player;
}

useSettings.subscribe(({ volume }) => {
  if (ready !== undefined) ready.volume = volume;
});

let turn = 0;

/** Plays to the end, or until something else is played. */
export async function play(
  trackId: string,
  source: PcmStream | Pcm,
  options: PlayOptions = {},
): Promise<PlaybackOutcome> {
  turn += 1;
  const mine = turn;
  usePlayback.setState({ ...SILENT, trackId, phase: 'buffering' });
  try {
    const player = await playerOf();
    if (mine !== turn) return 'stopped';
    const outcome = await player.play(source, options);
    if (mine === turn) usePlayback.setState({ ...player.state, trackId: undefined });
    return outcome;
  } catch (reason) {
    // Sound that came before an error is still heard; its end shows as the phase `ended`.
    if (mine === turn && ready?.state.phase !== 'playing') usePlayback.setState(SILENT);
    throw reason;
  }
}

export function pause(): void {
  ready?.pause();
}

export async function resume(): Promise<void> {
  await ready?.resume();
}

export function stopPlayback(): void {
  turn += 1;
  ready?.stop();
  usePlayback.setState(SILENT);
}

/** What has come out of the speaker, of the track that is played. */
export function positionMs(): number {
  return ready?.positionMs ?? 0;
}

export function isPlaying({ phase }: Playback): boolean {
  return phase === 'playing' || phase === 'buffering';
}
