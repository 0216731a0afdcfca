import { Code } from 'lucide-react';
import { lazy, Suspense, useEffect, useState } from 'react';
import { isPlaying, openPlayer, pause, resume, usePlayback } from '@/audio/playback';
import { Button } from '@/components/ui/button';
import { PageHeader } from '@/components/ui/page';
import { useModels } from '@/lib/queries';
import { m } from '@/messages';
import { modelOf, speakRequest } from '@/speech/speech-settings';
import { useSpeechStore } from '@/speech/speech-store';
import { Composer } from './composer';
import { Controls } from './controls';
import { HistoryList } from './history-list';
import { loadHistory } from './history-store';
import { isUnderWay, speak, stop, useSession } from './session';
import { TransportBar } from './transport-bar';

const CodeDialog = lazy(() => import('./code-dialog'));

export default function SpeakPage() {
  const { data: models = [] } = useModels();
  const settings = useSpeechStore((store) => store.settings);
  const [isCodeShown, setIsCodeShown] = useState(false);
  const model = modelOf(models, settings);

  useEffect(() => void loadHistory(), []);
  useEffect(openWhenTouched, []);

  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const session = useSession.getState();
      const playback = usePlayback.getState();
      const isHeard =
        playback.trackId === session.id && session.id !== undefined && isPlaying(playback);
      const isBusy = isUnderWay(session) || isHeard;
      const isCommand = event.ctrlKey || event.metaKey;
      if (isCommand && event.key === 'Enter') {
        event.preventDefault();
        const { text, settings: now } = useSpeechStore.getState();
        if (isBusy) stop();
        else if (text.trim() !== '') void speak(text, now);
      } else if (event.key === 'Escape' && isBusy && !event.defaultPrevented) {
        stop();
      } else if (isCommand && event.shiftKey && event.code === 'Space') {
        event.preventDefault();
        if (isPlaying(playback)) pause();
        else void resume();
      }
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, []);

  return (
    <>
      <PageHeader
        title={m.screens.speak}
        actions={
          <Button onClick={() => setIsCodeShown(true)}>
            <Code size={16} aria-hidden />
            {m.speak.code}
          </Button>
        }
      />
      <div className="grid gap-5 lg:grid-cols-[minmax(0,1fr)_19rem]">
        <div className="min-w-0 space-y-4">
          <Composer model={model} />
          <TransportBar />
        </div>
        <aside
          aria-label={m.screens.settings}
          className="min-h-[26rem] rounded-2xl border border-line bg-surface p-4 lg:row-span-2 lg:self-start"
        >
          <Controls model={model} models={models} />
        </aside>
        <div className="min-w-0">
          <HistoryList />
        </div>
      </div>
      {isCodeShown && (
        <Suspense>
          <CodeDialog
            request={speakRequest(
              useSpeechStore.getState().text || m.speak.placeholder,
              settings,
              model,
            )}
            onClose={() => setIsCodeShown(false)}
          />
        </Suspense>
      )}
    </>
  );
}

/** To open the player takes a quarter of a second: it is done before somebody presses Speak. */
function openWhenTouched(): () => void {
  const touches = ['keydown', 'pointerdown'] as const;
  for (const touch of touches) window.addEventListener(touch, openPlayer, { once: true });
  return () => {
    for (const touch of touches) window.removeEventListener(touch, openPlayer);
  };
}
