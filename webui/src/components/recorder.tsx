import { encodeWav, Microphone, type SoundLevel } from '@chatterbox/client';
import { Mic, Square } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { Button } from '@/components/ui/button';
import { ErrorNotice } from '@/components/ui/notice';
import { m } from '@/messages';

/** What is to be recorded. */
export interface RecordingBrief {
  /** Too short to be of use. */
  readonly leastMs: number;
  /** After which recording stops by itself. */
  readonly mostMs: number;
  /** A text to read aloud. */
  readonly script?: string;
}

const COUNTDOWN_S = 3;
const FLOOR_DB = -60;
const LOUD = 0.95;

/** A level in decibels as a share of the meter. */
function shareOf(level: number): number {
  const decibels = 20 * Math.log10(Math.max(level, 1e-4));
  return Math.max(0, 1 - decibels / FLOOR_DB);
}

/** Records: three seconds to get ready, then a meter until it is finished. */
export function Recorder({
  brief,
  onRecording,
  onCancel,
}: {
  readonly brief: RecordingBrief;
  readonly onRecording: (file: File) => void;
  readonly onCancel: () => void;
}) {
  const [countdown, setCountdown] = useState(COUNTDOWN_S);
  const [recordedMs, setRecordedMs] = useState(0);
  const [isLoud, setIsLoud] = useState(false);
  const [error, setError] = useState<unknown>();
  const microphone = useRef<Microphone | undefined>(undefined);
  const meter = useRef<HTMLDivElement>(null);
  const { leastMs, mostMs, script } = brief;
  const deliver = useRef(onRecording);
  deliver.current = onRecording;

  useEffect(() => {
    const leave = new AbortController();
    const show = ({ rms, peak }: SoundLevel): void => {
      const percent = Math.round(shareOf(rms) * 100);
      if (meter.current !== null) meter.current.style.width = `${percent}%`;
      meter.current?.parentElement?.setAttribute('aria-valuenow', String(percent));
      if (peak > LOUD) setIsLoud(true);
    };
    recordOnce(mostMs, leave.signal, microphone, show, setCountdown, setRecordedMs)
      .then((file) => deliver.current(file))
      .catch((reason: unknown) => {
        if (!leave.signal.aborted) setError(reason);
      });
    return () => leave.abort();
  }, [mostMs]);

  if (error !== undefined) {
    return (
      <div className="space-y-3">
        <ErrorNotice error={error} />
        <Button onClick={onCancel}>{m.recording.again}</Button>
      </div>
    );
  }
  const seconds = Math.floor(recordedMs / 1_000);
  return (
    <div className="rounded-xl border border-line p-4">
      {script !== undefined && (
        <>
          <p className="text-sm text-muted">{m.recording.readHint}</p>
          <blockquote className="mt-1 mb-4 font-script text-lg leading-relaxed">
            {script}
          </blockquote>
        </>
      )}
      {/* biome-ignore lint/a11y/useSemanticElements: browsers draw a <meter> as they like */}
      <div
        role="meter"
        aria-label={m.recording.level}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={0}
        className="h-2.5 overflow-hidden rounded-full bg-sunken"
      >
        <div ref={meter} className={`h-full rounded-full ${isLoud ? 'bg-warning' : 'bg-accent'}`} />
      </div>
      <div className="mt-3 flex flex-wrap items-center gap-3">
        <p
          role="status"
          className="tabular flex grow items-center gap-2 font-medium whitespace-nowrap"
        >
          <Mic size={17} aria-hidden className={countdown === 0 ? 'text-danger' : 'text-muted'} />
          {countdown > 0
            ? m.recording.beginsIn(countdown)
            : `${m.recording.recording} ${seconds} s`}
          {isLoud && <span className="text-sm text-warning">{m.recording.tooLoud}</span>}
        </p>
        <Button onClick={onCancel}>{m.app.cancel}</Button>
        <Button
          look="primary"
          disabled={recordedMs < leastMs}
          onClick={() => microphone.current?.stop()}
        >
          <Square size={14} aria-hidden fill="currentColor" />
          {m.recording.finish}
        </Button>
      </div>
    </div>
  );
}

async function recordOnce(
  maxMs: number,
  signal: AbortSignal,
  held: { current: Microphone | undefined },
  onLevel: (level: SoundLevel) => void,
  onCountdown: (seconds: number) => void,
  onProgress: (recordedMs: number) => void,
): Promise<File> {
  const microphone = await Microphone.open({ onLevel });
  held.current = microphone;
  try {
    for (let seconds = COUNTDOWN_S; seconds > 0; seconds -= 1) {
      signal.throwIfAborted();
      onCountdown(seconds);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    onCountdown(0);
    const recording = await microphone.record({ maxMs, signal, onProgress });
    return new File([encodeWav(recording)], m.recording.recordedName, { type: 'audio/wav' });
  } finally {
    await microphone.close();
  }
}
