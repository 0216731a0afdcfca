import type { Voice } from '@chatterbox/client';
import { Play, Square } from 'lucide-react';
import { isPlaying, play, stopPlayback, usePlayback } from '@/audio/playback';
import { complain } from '@/components/ui/toast';
import { chatterbox } from '@/lib/rpc';
import { m } from '@/messages';

/** Says a sentence with a voice, or stops saying it. */
export function PreviewButton({ voice }: { readonly voice: Voice }) {
  const trackId = `preview:${voice.id}`;
  const isHeard = usePlayback((playback) => playback.trackId === trackId && isPlaying(playback));
  const name = voice.displayName;
  const press = (): void => {
    if (isHeard) {
      stopPlayback();
      return;
    }
    const speech = chatterbox().speak({ text: m.speak.previewText(name), voice: voice.id });
    play(trackId, speech).catch(complain);
  };
  const label = isHeard ? m.speak.stopPreview(name) : m.speak.preview(name);
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      onClick={press}
      className="grid size-9 shrink-0 place-items-center rounded-lg text-muted hover:bg-sunken hover:text-ink"
    >
      {isHeard ? (
        <Square size={14} aria-hidden fill="currentColor" />
      ) : (
        <Play size={15} aria-hidden />
      )}
    </button>
  );
}
