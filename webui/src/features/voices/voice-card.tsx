import type { Voice } from '@chatterbox/client';
import { useNavigate } from '@tanstack/react-router';
import { Download, Ellipsis, Pencil, Trash2 } from 'lucide-react';
import { PreviewButton } from '@/components/preview-button';
import { Button, IconButton } from '@/components/ui/button';
import { Menu } from '@/components/ui/menu';
import { complain } from '@/components/ui/toast';
import { languageName } from '@/lib/format';
import { chatterbox } from '@/lib/rpc';
import { saveFile } from '@/lib/save-file';
import { m } from '@/messages';
import { changeSpeech } from '@/speech/speech-store';

export function VoiceCard({
  voice,
  onEdit,
  onDelete,
}: {
  readonly voice: Voice;
  readonly onEdit: () => void;
  readonly onDelete: () => void;
}) {
  const navigate = useNavigate();
  const { id, displayName, description, languageCode, gender, isReadOnly, createdAt } = voice;
  const facts = [
    languageName(languageCode),
    gender !== 'unspecified' && m.voices.genders[gender],
    isReadOnly ? m.voices.builtIn : createdAt && m.voices.createdOn(createdAt.toLocaleDateString()),
  ].filter(Boolean);
  const use = (): void => {
    changeSpeech({ voice: id, languageCode: '' });
    void navigate({ to: '/' });
  };
  return (
    <li
      data-testid="voice"
      className="flex flex-col rounded-2xl border border-line bg-surface p-4 hover:border-line-strong"
    >
      <div className="flex items-start gap-2">
        <div className="min-w-0 grow">
          <h2 className="truncate text-lg font-semibold">{displayName}</h2>
          <p className="truncate text-sm text-muted">{facts.join(' · ')}</p>
        </div>
        <PreviewButton voice={voice} />
      </div>
      <p className="mt-1.5 line-clamp-2 min-h-11 grow text-sm">{description}</p>
      <div className="mt-3 flex items-center gap-1">
        <Button size="small" onClick={use}>
          {m.voices.use}
        </Button>
        <code className="min-w-0 grow truncate pl-2 font-mono text-xs text-muted">{id}</code>
        <Menu
          trigger={
            <IconButton label={m.voices.menu(displayName)}>
              <Ellipsis size={17} aria-hidden />
            </IconButton>
          }
          items={[
            {
              label: m.voices.export,
              icon: <Download size={15} aria-hidden />,
              onSelect: () => void save(voice).catch(complain),
            },
            {
              label: m.voices.edit,
              icon: <Pencil size={15} aria-hidden />,
              isDisabled: isReadOnly,
              onSelect: onEdit,
            },
            {
              label: m.voices.delete,
              icon: <Trash2 size={15} aria-hidden />,
              isDanger: true,
              isDisabled: isReadOnly,
              onSelect: onDelete,
            },
          ]}
        />
      </div>
    </li>
  );
}

async function save({ id }: Voice): Promise<void> {
  const bytes = await chatterbox().voices.export(id);
  saveFile(`${id}.zip`, new Blob([bytes], { type: 'application/zip' }));
}
