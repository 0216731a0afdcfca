/** Short news at the edge of the page, read out politely. */

import { CircleAlert, CircleCheck, X } from 'lucide-react';
import { create } from 'zustand';
import { explain } from '@/lib/explain';
import { newId } from '@/lib/id';
import { m } from '@/messages';

interface Toast {
  readonly id: string;
  readonly tone: 'good' | 'bad';
  readonly title: string;
  readonly advice: string;
}

const GOOD_MS = 4_000;
const BAD_MS = 12_000;
const MOST = 3;

const useToasts = create<readonly Toast[]>(() => []);

function show(toast: Omit<Toast, 'id'>): void {
  const id = newId();
  useToasts.setState((toasts) => [...toasts, { ...toast, id }].slice(-MOST), true);
  setTimeout(() => dismiss(id), toast.tone === 'good' ? GOOD_MS : BAD_MS);
}

function dismiss(id: string): void {
  useToasts.setState((toasts) => toasts.filter((each) => each.id !== id), true);
}

export function say(title: string): void {
  show({ tone: 'good', title, advice: '' });
}

export function complain(error: unknown): void {
  show({ tone: 'bad', ...explain(error) });
}

export function Toasts() {
  const toasts = useToasts();
  return (
    <div
      aria-live="polite"
      className="pointer-events-none fixed inset-x-3 bottom-20 z-50 flex flex-col items-center gap-2 md:right-5 md:bottom-5 md:left-auto md:items-end"
    >
      {toasts.map(({ id, tone, title, advice }) => (
        <div
          key={id}
          className="pointer-events-auto flex w-full max-w-sm items-start gap-2.5 rounded-xl border border-line bg-surface px-3.5 py-2.5 text-sm shadow-raised"
        >
          {tone === 'good' ? (
            <CircleCheck size={17} aria-hidden className="mt-px shrink-0 text-accent" />
          ) : (
            <CircleAlert size={17} aria-hidden className="mt-px shrink-0 text-danger" />
          )}
          <div className="min-w-0 grow">
            <p className="font-semibold">{title}</p>
            {advice && <p className="text-muted">{advice}</p>}
          </div>
          <button
            type="button"
            aria-label={m.app.dismiss}
            onClick={() => dismiss(id)}
            className="rounded p-0.5 text-muted hover:text-ink"
          >
            <X size={15} aria-hidden />
          </button>
        </div>
      ))}
    </div>
  );
}
