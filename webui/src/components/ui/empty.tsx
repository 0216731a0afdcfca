import type { ReactNode } from 'react';

/** Five bars that are not a waveform yet. */
function QuietBars() {
  return (
    <svg viewBox="0 0 60 28" className="h-7 text-line-strong" aria-hidden>
      {[5, 11, 17, 9, 4].map((height, index) => (
        <rect
          key={height}
          x={8 + index * 10}
          y={14 - height / 2}
          width="4"
          height={height}
          rx="2"
          fill="currentColor"
        />
      ))}
    </svg>
  );
}

export interface EmptyProps {
  readonly title: string;
  readonly advice?: string | undefined;
  readonly action?: ReactNode;
}

export function Empty({ title, advice, action }: EmptyProps) {
  return (
    <div className="flex flex-col items-center gap-1.5 rounded-2xl border border-dashed border-line px-6 py-9 text-center">
      <QuietBars />
      <p className="mt-1 font-semibold">{title}</p>
      {advice && <p className="max-w-md text-sm text-muted">{advice}</p>}
      {action && <div className="mt-3">{action}</div>}
    </div>
  );
}
