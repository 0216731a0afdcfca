import type { RecordingQuality } from '@chatterbox/client';
import { CircleCheck, TriangleAlert } from 'lucide-react';
import { m } from '@/messages';

type Grade = 'good' | 'fair' | 'poor';

const COLOURS: Readonly<Record<Grade, string>> = {
  good: 'bg-accent',
  fair: 'bg-warning',
  poor: 'bg-danger',
};

interface Measure {
  readonly name: string;
  readonly value: string;
  readonly grade: Grade;
  /** How full its bar is, 0 to 1. */
  readonly share: number;
}

/** How good a recording is, and what would make it better. */
export function QualityReport({ quality }: { readonly quality: RecordingQuality }) {
  return (
    <section aria-label={m.voices.quality} className="rounded-xl bg-sunken p-3.5 text-sm">
      <dl className="grid grid-cols-2 gap-x-5 gap-y-2.5 sm:grid-cols-4">
        {measures(quality).map(({ name, value, grade, share }) => (
          <div key={name}>
            <dt className="truncate text-muted">{name}</dt>
            <dd className="tabular font-medium">{value}</dd>
            <div aria-hidden className="mt-1 h-1 overflow-hidden rounded-full bg-line">
              <div
                className={`h-full rounded-full ${COLOURS[grade]}`}
                style={{ width: `${Math.round(Math.min(1, Math.max(0.04, share)) * 100)}%` }}
              />
            </div>
          </div>
        ))}
      </dl>
      <ul className="mt-3 space-y-1">
        {quality.advice.length === 0 && (
          <li className="flex gap-2 font-medium text-accent">
            <CircleCheck size={16} aria-hidden className="mt-0.5 shrink-0" />
            {m.voices.qualityGood}
          </li>
        )}
        {quality.advice.map((advice) => (
          <li key={advice} className="flex gap-2">
            <TriangleAlert size={16} aria-hidden className="mt-0.5 shrink-0 text-warning" />
            {advice}
          </li>
        ))}
      </ul>
    </section>
  );
}

const BEST_SPEECH_MS = 10_000;

function measures(quality: RecordingQuality): Measure[] {
  const { speechMs, signalToNoiseDb, loudnessLufs, clippingRatio } = quality;
  return [
    {
      name: m.voices.speech,
      value: `${(speechMs / 1_000).toFixed(1)} s`,
      grade: speechMs >= 8_000 ? 'good' : speechMs >= 4_000 ? 'fair' : 'poor',
      share: speechMs / BEST_SPEECH_MS,
    },
    {
      name: m.voices.noise,
      value: `${signalToNoiseDb.toFixed(0)} dB`,
      grade: signalToNoiseDb >= 30 ? 'good' : signalToNoiseDb >= 18 ? 'fair' : 'poor',
      share: signalToNoiseDb / 45,
    },
    {
      name: m.voices.loudness,
      value: `${loudnessLufs.toFixed(0)} LUFS`,
      grade: loudnessLufs >= -30 && loudnessLufs <= -14 ? 'good' : 'fair',
      share: (loudnessLufs + 50) / 40,
    },
    {
      name: m.voices.clipping,
      value: `${(clippingRatio * 100).toFixed(1)} %`,
      grade: clippingRatio < 0.001 ? 'good' : clippingRatio < 0.01 ? 'fair' : 'poor',
      share: clippingRatio < 0.001 ? 0.04 : clippingRatio * 20,
    },
  ];
}
