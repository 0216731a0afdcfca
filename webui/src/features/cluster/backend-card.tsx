import type { Backend, BackendState } from '@chatterbox/client';
import type { ReactNode } from 'react';
import { wait } from '@/lib/format';
import { m } from '@/messages';

const DOTS: Readonly<Record<BackendState, string>> = {
  serving: 'bg-accent',
  'not-serving': 'bg-warning',
  unreachable: 'bg-danger',
  drained: 'bg-line-strong',
  ejected: 'bg-danger',
  unspecified: 'bg-line-strong',
};

export function BackendCard({
  backend,
  action,
}: {
  readonly backend: Backend;
  readonly action: ReactNode;
}) {
  const { address, state, activeStreams, maxStreams, slots, freeSlots, waiting } = backend;
  return (
    <li className="rounded-2xl border border-line bg-surface p-5" data-testid="backend">
      <div className="flex items-start gap-3">
        <div className="min-w-0 grow">
          <h2 className="truncate font-mono text-base font-medium">{address}</h2>
          <p className="mt-0.5 flex items-center gap-2 text-sm" data-testid="backend-state">
            <span aria-hidden className={`size-2 shrink-0 rounded-full ${DOTS[state]}`} />
            <span className="font-medium">{m.cluster.states[state]}</span>
          </p>
          <p className="text-sm text-muted">{m.cluster.stateHints[state]}</p>
        </div>
        {action}
      </div>
      <div className="mt-4 space-y-3">
        <Load name={m.cluster.streams} now={activeStreams} most={maxStreams} />
        <Load name={m.cluster.slots} now={Math.max(0, slots - freeSlots)} most={slots} />
      </div>
      <dl className="mt-4 grid grid-cols-2 gap-x-4 gap-y-2 text-sm">
        <Fact name={m.cluster.waiting} value={String(waiting)} />
        <Fact
          name={m.cluster.queued}
          value={backend.queuedAudioMs > 0 ? wait(backend.queuedAudioMs) : '–'}
        />
        <Fact
          name={m.cluster.models}
          value={backend.models.map((name) => name.replace('models/', '')).join(', ') || '–'}
        />
        <Fact name={m.cluster.version} value={backend.version || '–'} />
      </dl>
    </li>
  );
}

function Load({
  name,
  now,
  most,
}: {
  readonly name: string;
  readonly now: number;
  readonly most: number;
}) {
  const share = most === 0 ? 0 : Math.min(1, now / most);
  return (
    <div>
      <div className="mb-1 flex justify-between text-sm">
        <span className="text-muted">{name}</span>
        <span className="tabular font-medium">
          {most === 0 ? '–' : m.cluster.ofMost(now, most)}
        </span>
      </div>
      <div className="h-1.5 overflow-hidden rounded-full bg-sunken">
        <div
          className="h-full rounded-full bg-accent transition-[width] duration-300"
          style={{ width: `${share * 100}%` }}
        />
      </div>
    </div>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div className="min-w-0">
      <dt className="text-muted">{name}</dt>
      <dd className="tabular truncate font-medium" title={value}>
        {value}
      </dd>
    </div>
  );
}
