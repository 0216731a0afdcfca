import { MicVocal } from 'lucide-react';
import { type Playback, usePlayback } from '@/audio/playback';
import { Figure } from '@/components/figure';
import { StartStop } from '@/components/start-stop';
import { VoicePicker } from '@/components/voice-picker';
import { wait } from '@/lib/format';
import { m } from '@/messages';
import { type Conversion, isBusyWith, stop, useConversion } from './conversion';
import { chooseVoice, useTarget } from './target-store';

/** The target voice, the button, and how it goes. */
export function ConversionControls({
  canConvert,
  onConvert,
}: {
  readonly canConvert: boolean;
  readonly onConvert: () => void;
}) {
  const voice = useTarget((target) => target.voice);
  const conversion = useConversion();
  const isBusy = usePlayback((playback) => isBusyWith(conversion, playback));
  const phase = usePlayback(({ trackId, phase }) => (trackId === conversion.id ? phase : 'idle'));
  const { firstSoundMs, realTimeFactor } = conversion;
  return (
    <div className="grid gap-3 sm:max-lg:grid-cols-[minmax(0,1fr)_12rem] sm:max-lg:items-end">
      <VoicePicker chosen={voice} onChoose={chooseVoice} />
      <StartStop
        testId="convert"
        isBusy={isBusy}
        canStart={canConvert}
        className="w-full sm:max-lg:h-12"
        onStart={onConvert}
        onStop={stop}
      >
        <MicVocal size={18} aria-hidden />
        {m.convert.convert}
      </StartStop>
      <p role="status" data-testid="status" className="text-sm font-medium sm:max-lg:text-right">
        {conversion.state === 'empty' && !canConvert
          ? m.convert.noSource
          : statusOf(conversion, phase)}
      </p>
      <dl
        className="flex flex-wrap gap-x-5 gap-y-1 text-sm text-muted sm:max-lg:row-start-2"
        data-testid="figures"
      >
        <Figure
          name={m.speak.firstSound}
          hint={m.speak.firstSoundHint}
          value={firstSoundMs === undefined ? '–' : wait(firstSoundMs)}
        />
        <Figure
          name={m.speak.realTimeFactor}
          hint={m.speak.realTimeFactorHint}
          value={realTimeFactor === undefined ? '–' : realTimeFactor.toFixed(2)}
        />
      </dl>
    </div>
  );
}

function statusOf({ state }: Conversion, phase: Playback['phase']): string {
  if (state === 'waiting') return m.speak.waiting;
  if (phase === 'paused') return m.speak.paused;
  if (state === 'converting') return m.convert.converting;
  if (state === 'failed') return m.speak.failed;
  if (phase === 'playing' || phase === 'buffering') return m.speak.playing;
  if (state === 'stopped') return m.speak.stopped;
  return state === 'complete' ? m.speak.done : m.speak.ready;
}
