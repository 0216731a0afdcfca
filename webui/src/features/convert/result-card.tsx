import { encodeWav } from '@chatterbox/client';
import { Download } from 'lucide-react';
import { Button } from '@/components/ui/button';
import { fileStem } from '@/lib/format';
import { useVoices } from '@/lib/queries';
import { saveFile } from '@/lib/save-file';
import { m } from '@/messages';
import { hear, isUnderWay, useConversion } from './conversion';
import { SoundPlayer } from './sound-player';
import { TitledCard } from './titled-card';

/** What a conversion makes of the source: heard while it comes, and kept as a file. */
export function ResultCard({
  fileName,
  expectedMs,
}: {
  /** Of the source. */
  readonly fileName: string;
  readonly expectedMs: number;
}) {
  const conversion = useConversion();
  const { data: voices = [] } = useVoices();
  const { id, voice, peaks, sound } = conversion;
  const voiceName = voices.find(({ name }) => name === voice)?.displayName ?? voice;
  const isComplete = sound !== undefined && !isUnderWay(conversion);
  const download = (): void => {
    if (sound === undefined) return;
    const stem = fileStem(`${fileName.replace(/\.[^.]*$/, '')} ${voiceName}`, 'converted');
    saveFile(`${stem}.wav`, new Blob([encodeWav(sound)], { type: 'audio/wav' }));
  };
  return (
    <TitledCard title={m.convert.result} note={voiceName}>
      <SoundPlayer
        name={m.convert.result}
        trackId={id}
        peaks={peaks}
        expectedMs={expectedMs}
        isComplete={isComplete}
        action={
          <Button size="small" disabled={!isComplete} onClick={download} data-testid="download">
            <Download size={15} aria-hidden />
            {m.convert.download}
          </Button>
        }
        onPlay={(startMs) => void hear(startMs)}
      />
    </TitledCard>
  );
}
