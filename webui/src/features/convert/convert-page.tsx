import { useEffect } from 'react';
import { usePlayback } from '@/audio/playback';
import { DropArea } from '@/components/drop-area';
import { Button } from '@/components/ui/button';
import { ErrorNotice, Notice } from '@/components/ui/notice';
import { PageHeader } from '@/components/ui/page';
import { m } from '@/messages';
import { clear, convert, isBusyWith, loadConversion, stop, useConversion } from './conversion';
import { ConversionControls } from './conversion-controls';
import { ResultCard } from './result-card';
import { SourceCard } from './source-card';
import {
  dropSource,
  isSmallEnough,
  loadSource,
  recordingOf,
  takeSource,
  useSource,
} from './source-store';
import { useTarget } from './target-store';

const CARD = 'rounded-2xl border border-line bg-surface p-4';

export default function ConvertPage() {
  const source = useSource();
  const state = useConversion((conversion) => conversion.state);
  const error = useConversion((conversion) => conversion.error);
  const warnings = useConversion((conversion) => conversion.warnings);
  const isReady = source.kind === 'ready' && isSmallEnough(source);

  useEffect(() => {
    void loadSource();
    void loadConversion();
  }, []);
  useShortcuts();

  const take = (file: File): void => {
    clear();
    void takeSource(file);
  };
  const drop = (): void => {
    clear();
    void dropSource();
  };
  return (
    <DropArea onFile={take}>
      <PageHeader title={m.screens.convert} intro={m.convert.intro} />
      <div className="grid gap-4 lg:grid-cols-[minmax(0,1fr)_15rem_minmax(0,1fr)]">
        <div className={CARD}>
          <SourceCard source={source} onTake={take} onDrop={drop} />
        </div>
        <div className={CARD}>
          <ConversionControls canConvert={isReady} onConvert={start} />
        </div>
        <div className="space-y-2 empty:hidden lg:order-last lg:col-span-3">
          {state === 'failed' && (
            <ErrorNotice
              error={error}
              action={
                <Button size="small" onClick={start} disabled={!isReady}>
                  {m.app.retry}
                </Button>
              }
            />
          )}
          {warnings.length > 0 && (
            <Notice tone="warning" title={m.speak.warnings} advice={warnings.join(' · ')} />
          )}
        </div>
        <div className={CARD}>
          <ResultCard
            fileName={source.kind === 'none' ? '' : source.file.name}
            expectedMs={source.kind === 'ready' ? (source.sound?.peaks.durationMs ?? 0) : 0}
          />
        </div>
      </div>
    </DropArea>
  );
}

function start(): void {
  const source = useSource.getState();
  if (source.kind !== 'ready' || !isSmallEnough(source)) return;
  void convert(recordingOf(source), useTarget.getState().voice);
}

function useShortcuts(): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const isBusy = isBusyWith(useConversion.getState(), usePlayback.getState());
      if ((event.ctrlKey || event.metaKey) && event.key === 'Enter') {
        event.preventDefault();
        if (isBusy) stop();
        else start();
      } else if (event.key === 'Escape' && isBusy && !event.defaultPrevented) {
        stop();
      }
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, []);
}
