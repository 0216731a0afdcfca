import { encodeWav, type SoundFormat } from '@chatterbox/client';
import { Download, LoaderCircle } from 'lucide-react';
import { useState } from 'react';
import { Button } from '@/components/ui/button';
import { Menu } from '@/components/ui/menu';
import { complain } from '@/components/ui/toast';
import { fileStem } from '@/lib/format';
import { chatterbox } from '@/lib/rpc';
import { saveFile } from '@/lib/save-file';
import { useSettings } from '@/lib/settings-store';
import { m } from '@/messages';
import { loadSound } from '@/speech/sounds';
import { speakRequest } from '@/speech/speech-settings';
import { findEntry, useHistory } from './history-store';
import { isUnderWay, type Session } from './session';

export const FORMATS: readonly SoundFormat[] = ['wav', 'mp3', 'opus', 'flac', 'mulaw', 'alaw'];
const SUFFIXES: Readonly<Record<SoundFormat, string>> = {
  wav: 'wav',
  mp3: 'mp3',
  opus: 'ogg',
  flac: 'flac',
  mulaw: 'ul',
  alaw: 'al',
};

export function DownloadMenu({ session }: { readonly session: Session }) {
  const preferred = useSettings((settings) => settings.format);
  const [isBusy, setIsBusy] = useState(false);
  const entry = useHistory(({ entries }) => entries.find(({ id }) => id === session.id));
  const isThere = entry !== undefined && entry.durationMs > 0 && !isUnderWay(session);
  const download = async (format: SoundFormat): Promise<void> => {
    if (session.id === undefined) return;
    setIsBusy(true);
    try {
      await downloadEntry(session.id, format);
    } catch (error) {
      complain(error);
    } finally {
      setIsBusy(false);
    }
  };
  // The server is asked for the other formats; half a speech it cannot give.
  const formats = entry?.state === 'complete' ? FORMATS : FORMATS.slice(0, 1);
  const sorted = [...formats].sort((a, b) => Number(b === preferred) - Number(a === preferred));
  return (
    <Menu
      trigger={
        <Button size="small" disabled={!isThere || isBusy} data-testid="download">
          {isBusy ? (
            <LoaderCircle size={15} aria-hidden className="animate-spin" />
          ) : (
            <Download size={15} aria-hidden />
          )}
          {isBusy ? m.speak.downloading : m.speak.download}
        </Button>
      }
      items={sorted.map((format) => ({
        label: m.speak.formats[format],
        onSelect: () => void download(format),
      }))}
    />
  );
}

/** WAV from what is kept here; another format by speaking the same again, with the same seed. */
async function downloadEntry(id: string, format: SoundFormat): Promise<void> {
  const entry = findEntry(id);
  if (entry === undefined) return;
  const name = `${fileStem(entry.text, 'speech')}.${SUFFIXES[format]}`;
  if (format === 'wav') {
    const sound = await loadSound(id);
    if (sound !== undefined) saveFile(name, new Blob([encodeWav(sound)], { type: 'audio/wav' }));
    return;
  }
  const { voice, model, seed = '' } = entry;
  const settings = { ...entry.settings, seed, isSeedLocked: true };
  const models = await chatterbox().models.list();
  const request = {
    ...speakRequest(
      entry.text,
      settings,
      models.find(({ name: known }) => known === model),
    ),
    ...(voice === undefined ? {} : { voice }),
    ...(model === undefined ? {} : { model }),
  };
  const { bytes, mediaType } = await chatterbox().render(request, format);
  saveFile(name, new Blob([bytes], { type: mediaType }));
}
