import { type Backend, chatterboxErrorOf } from '@chatterbox/client';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { Button } from '@/components/ui/button';
import { Confirm } from '@/components/ui/confirm';
import { Empty } from '@/components/ui/empty';
import { ErrorNotice } from '@/components/ui/notice';
import { PageHeader } from '@/components/ui/page';
import { complain } from '@/components/ui/toast';
import { queryClient } from '@/lib/queries';
import { chatterbox } from '@/lib/rpc';
import { m } from '@/messages';
import { BackendCard } from './backend-card';
import { Sparkline } from './sparkline';

const POLL_MS = 1_000;
const REMEMBERED = 120; // two minutes
const KEY = ['backends'];

export default function ClusterPage() {
  const { data, error, isPending } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => chatterbox().cluster.list({ signal }),
    refetchInterval: POLL_MS,
    staleTime: 0,
    retry: false,
  });
  const [asked, setAsked] = useState<Backend | undefined>();
  const change = useMutation({
    mutationFn: ({ backend, isDrained }: { backend: Backend; isDrained: boolean }) =>
      isDrained ? chatterbox().cluster.undrain(backend.id) : chatterbox().cluster.drain(backend.id),
    onError: complain,
    onSettled: () => queryClient.invalidateQueries({ queryKey: KEY }),
  });
  const streams = useStreamHistory(data);
  const serving = data?.filter(({ state }) => state === 'serving') ?? [];
  const isHidden =
    error !== null && ['unsupported', 'not-found'].includes(chatterboxErrorOf(error).kind);

  return (
    <>
      <PageHeader title={m.screens.cluster} intro={m.cluster.intro} />
      {error !== null && !isHidden && (
        <div className="mb-4">
          <ErrorNotice error={error} />
        </div>
      )}
      {isPending && <CardsToCome />}
      {(isHidden || data?.length === 0) && (
        <Empty title={m.cluster.none} advice={m.cluster.noneAdvice} />
      )}
      {data !== undefined && data.length > 0 && !isHidden && (
        <>
          <section
            aria-label={m.cluster.loadHistory}
            className="mb-4 flex flex-wrap items-center gap-x-8 gap-y-3 rounded-2xl border border-line bg-surface px-5 py-4"
          >
            <p className="text-lg font-semibold">{m.cluster.total(serving.length, data.length)}</p>
            <p className="tabular w-24 text-muted">
              {m.cluster.speakingNow(data.reduce((sum, each) => sum + each.activeStreams, 0))}
            </p>
            <Sparkline
              label={m.cluster.loadHistory}
              values={streams}
              length={REMEMBERED}
              most={Math.max(1, ...serving.map(({ maxStreams }) => maxStreams))}
            />
          </section>
          <ul className="grid gap-4 lg:grid-cols-2">
            {data.map((backend) => (
              <BackendCard
                key={backend.name}
                backend={backend}
                action={
                  backend.state === 'drained' ? (
                    <Button
                      size="small"
                      look="primary"
                      disabled={change.isPending}
                      onClick={() => change.mutate({ backend, isDrained: true })}
                    >
                      {m.cluster.undrain}
                    </Button>
                  ) : (
                    <Button
                      size="small"
                      disabled={change.isPending}
                      onClick={() => setAsked(backend)}
                    >
                      {m.cluster.drain}
                    </Button>
                  )
                }
              />
            ))}
          </ul>
        </>
      )}
      <Confirm
        isOpen={asked !== undefined}
        title={m.cluster.drainTitle(asked?.address ?? '')}
        advice={[
          m.cluster.drainAdvice,
          serving.length === 1 && serving[0]?.name === asked?.name && m.cluster.lastOne,
        ]
          .filter(Boolean)
          .join(' ')}
        action={m.cluster.drain}
        isHarmless
        onConfirm={() => asked && change.mutate({ backend: asked, isDrained: false })}
        onClose={() => setAsked(undefined)}
      />
    </>
  );
}

function CardsToCome() {
  return (
    <div aria-busy="true" className="grid gap-4 lg:grid-cols-2">
      <span className="sr-only">{m.app.loading}</span>
      {[0, 1].map((index) => (
        <div key={index} className="h-64 animate-pulse rounded-2xl bg-sunken" />
      ))}
    </div>
  );
}

/** How many streams there were at each answer, the newest last. */
function useStreamHistory(backends: readonly Backend[] | undefined): readonly number[] {
  const history = useRef<number[]>([]);
  const [shown, setShown] = useState<readonly number[]>([]);
  useEffect(() => {
    if (backends === undefined) return;
    const now = backends.reduce((sum, { activeStreams }) => sum + activeStreams, 0);
    history.current = [...history.current, now].slice(-REMEMBERED);
    setShown(history.current);
  }, [backends]);
  return shown;
}
