import { chatterboxErrorOf, type Voice } from '@chatterbox/client';
import { Import, Plus, Search } from 'lucide-react';
import { useState } from 'react';
import { DropArea } from '@/components/drop-area';
import { Button } from '@/components/ui/button';
import { Confirm } from '@/components/ui/confirm';
import { Empty } from '@/components/ui/empty';
import { BOX } from '@/components/ui/field';
import { FileButton } from '@/components/ui/file-button';
import { ErrorNotice } from '@/components/ui/notice';
import { PageHeader } from '@/components/ui/page';
import { complain, say } from '@/components/ui/toast';
import { queryClient, useVoices } from '@/lib/queries';
import { chatterbox } from '@/lib/rpc';
import { m } from '@/messages';
import { matches } from '@/speech/voice-search';
import { CloneDialog } from './clone-dialog';
import { EditDialog } from './edit-dialog';
import { VoiceCard } from './voice-card';

type Shown =
  | { readonly kind: 'clone'; readonly file?: File }
  | { readonly kind: 'edit' | 'delete'; readonly voice: Voice }
  | { readonly kind: 'consent'; readonly archive: File };

function isArchive({ name, type }: File): boolean {
  return name.toLowerCase().endsWith('.zip') || type === 'application/zip';
}

export default function VoicesPage() {
  const { data: voices, error, isPending, refetch } = useVoices();
  const [sought, setSought] = useState('');
  const [shown, setShown] = useState<Shown | undefined>();
  const found = voices?.filter((voice) => matches(voice, sought)) ?? [];
  const close = (): void => setShown(undefined);

  const take = (file: File): void => {
    if (isArchive(file)) void importArchive(file, false, setShown);
    else setShown({ kind: 'clone', file });
  };
  return (
    <DropArea onFile={take}>
      <PageHeader
        title={m.screens.voices}
        intro={voices === undefined ? ' ' : m.voices.count(voices.length)}
        actions={
          <>
            <FileButton
              label={m.voices.import}
              accept=".zip,application/zip"
              icon={<Import size={16} aria-hidden />}
              onFile={take}
            />
            <Button look="primary" onClick={() => setShown({ kind: 'clone' })}>
              <Plus size={16} aria-hidden />
              {m.voices.create}
            </Button>
          </>
        }
      />
      <div className="relative mb-4">
        <Search
          size={16}
          aria-hidden
          className="absolute top-1/2 left-3 -translate-y-1/2 text-muted"
        />
        <input
          type="search"
          value={sought}
          onChange={(event) => setSought(event.target.value)}
          aria-label={m.voices.search}
          placeholder={m.voices.search}
          className={`${BOX} h-10 pl-9`}
        />
      </div>
      {error && (
        <ErrorNotice
          error={error}
          action={
            <Button size="small" onClick={() => void refetch()}>
              {m.app.retry}
            </Button>
          }
        />
      )}
      {isPending && <CardsToCome />}
      {voices !== undefined && found.length === 0 && (
        <Empty
          title={voices.length === 0 ? m.voices.none : m.voices.empty}
          advice={voices.length === 0 ? m.voices.noneAdvice : m.voices.emptyAdvice}
        />
      )}
      <ul className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
        {found.map((voice) => (
          <VoiceCard
            key={voice.id}
            voice={voice}
            onEdit={() => setShown({ kind: 'edit', voice })}
            onDelete={() => setShown({ kind: 'delete', voice })}
          />
        ))}
      </ul>
      {shown?.kind === 'clone' && <CloneDialog file={shown.file} onClose={close} />}
      {shown?.kind === 'edit' && <EditDialog voice={shown.voice} onClose={close} />}
      <Confirm
        isOpen={shown?.kind === 'delete'}
        title={m.voices.deleteTitle(shown?.kind === 'delete' ? shown.voice.displayName : '')}
        advice={m.voices.deleteAdvice}
        action={m.voices.delete}
        onConfirm={() => shown?.kind === 'delete' && void remove(shown.voice)}
        onClose={close}
      />
      <Confirm
        isOpen={shown?.kind === 'consent'}
        isHarmless
        title={m.voices.importConsent}
        advice={m.voices.importConsentAdvice}
        action={m.voices.importConsentAction}
        onConfirm={() => shown?.kind === 'consent' && void importArchive(shown.archive, true)}
        onClose={close}
      />
    </DropArea>
  );
}

function CardsToCome() {
  return (
    <div aria-busy="true" className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
      <span className="sr-only">{m.app.loading}</span>
      {[0, 1].map((index) => (
        <div key={index} className="h-36 animate-pulse rounded-2xl bg-sunken" />
      ))}
    </div>
  );
}

async function remove({ id, displayName }: Voice): Promise<void> {
  try {
    await chatterbox().voices.delete(id);
    say(m.voices.deleted(displayName));
  } catch (error) {
    complain(error);
  }
  await queryClient.invalidateQueries({ queryKey: ['voices'] });
}

/** Takes an archive in; one that declares no consent is asked about. */
async function importArchive(
  archive: File,
  consent: boolean,
  ask?: (shown: Shown) => void,
): Promise<void> {
  try {
    const voice = await chatterbox().voices.import(archive, { consent });
    say(m.voices.imported(voice.displayName));
  } catch (reason) {
    const error = chatterboxErrorOf(reason);
    if (error.kind === 'invalid' && error.field === 'consent' && ask !== undefined) {
      ask({ kind: 'consent', archive });
      return;
    }
    complain(reason);
  }
  await queryClient.invalidateQueries({ queryKey: ['voices'] });
}
