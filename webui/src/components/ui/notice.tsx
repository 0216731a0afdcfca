import { clsx } from 'clsx';
import { CircleAlert, Info, TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { explain } from '@/lib/explain';

type Tone = 'danger' | 'warning' | 'info';

const TONES: Readonly<Record<Tone, string>> = {
  danger: 'bg-danger-soft text-danger',
  warning: 'bg-warning-soft text-warning',
  info: 'bg-accent-soft text-ink',
};
const ICONS = { danger: CircleAlert, warning: TriangleAlert, info: Info } as const;

export interface NoticeProps {
  readonly tone: Tone;
  readonly title: string;
  readonly advice?: ReactNode;
  readonly action?: ReactNode;
}

/** What happened, and what to do. */
export function Notice({ tone, title, advice, action }: NoticeProps) {
  const Icon = ICONS[tone];
  return (
    <div
      role={tone === 'danger' ? 'alert' : 'status'}
      className={clsx('flex items-start gap-2.5 rounded-xl px-3.5 py-2.5 text-sm', TONES[tone])}
    >
      <Icon size={17} aria-hidden className="mt-px shrink-0" />
      <div className="min-w-0 grow">
        <p className="font-semibold">{title}</p>
        {advice && <p className="text-ink">{advice}</p>}
      </div>
      {action}
    </div>
  );
}

export function ErrorNotice({
  error,
  action,
}: {
  readonly error: unknown;
  readonly action?: ReactNode;
}) {
  return <Notice tone="danger" {...explain(error)} action={action} />;
}
