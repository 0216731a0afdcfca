import { useMutation, useQuery } from '@tanstack/react-query';
import { LoaderCircle } from 'lucide-react';
import { useEffect, useState } from 'react';
import { RecordingSource } from '@/components/recording-source';
import { Button } from '@/components/ui/button';
import { Dialog } from '@/components/ui/dialog';
import { TextField } from '@/components/ui/field';
import { ErrorNotice, Notice } from '@/components/ui/notice';
import { say } from '@/components/ui/toast';
import { newId } from '@/lib/id';
import { queryClient } from '@/lib/queries';
import { chatterbox } from '@/lib/rpc';
import { m } from '@/messages';
import { QualityReport } from './quality-report';
import { VoiceFields, type VoiceForm } from './voice-fields';
import { isVoiceId, voiceIdOf } from './voice-id';

const MOST_BYTES = 12 * 1_048_576;
const BRIEF = { leastMs: 3_000, mostMs: 30_000, script: m.voices.script };
const EMPTY: VoiceForm = {
  displayName: '',
  description: '',
  languageCode: 'en',
  gender: 'unspecified',
};

/** From a recording to a voice. */
export function CloneDialog({
  file,
  onClose,
}: {
  readonly file: File | undefined;
  readonly onClose: () => void;
}) {
  const [recording, setRecording] = useState(file);
  const [consent, setConsent] = useState(false);
  const [form, setForm] = useState(EMPTY);
  const [typedId, setTypedId] = useState<string | undefined>();
  const id = typedId ?? voiceIdOf(form.displayName);
  const isTooLarge = recording !== undefined && recording.size > MOST_BYTES;
  const check = useCheck(isTooLarge ? undefined : recording, consent);
  const make = useMutation({
    mutationFn: (chosen: File) =>
      chatterbox().voices.create({ id, recording: chosen, consent, ...form }),
    onSuccess: async ({ displayName }) => {
      await queryClient.invalidateQueries({ queryKey: ['voices'] });
      say(m.voices.made(displayName));
      onClose();
    },
  });
  const isReady =
    check.isSuccess &&
    consent &&
    isVoiceId(id) &&
    form.displayName.trim() !== '' &&
    !make.isPending;
  const take = (chosen: File | undefined): void => {
    setRecording(chosen);
    make.reset();
  };
  return (
    <Dialog
      isOpen
      isWide
      onClose={onClose}
      title={m.voices.createTitle}
      description={m.voices.createIntro}
    >
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && recording !== undefined) make.mutate(recording);
        }}
      >
        {recording === undefined ? (
          <RecordingSource brief={BRIEF} onRecording={take} />
        ) : (
          <ChosenRecording file={recording} onDrop={() => take(undefined)} />
        )}
        {isTooLarge && <Notice tone="danger" title={m.voices.tooLarge} />}
        {recording !== undefined && !isTooLarge && (
          <>
            <label className="flex cursor-pointer items-start gap-2.5 rounded-xl border border-line px-3.5 py-3 has-checked:border-accent has-checked:bg-accent-soft">
              <input
                type="checkbox"
                checked={consent}
                onChange={(event) => setConsent(event.target.checked)}
                className="mt-0.5 size-4.5 accent-accent"
              />
              <span className="font-medium">{m.voices.consent}</span>
            </label>
            {check.isFetching && (
              <p role="status" className="flex items-center gap-2 text-sm text-muted">
                <LoaderCircle size={16} aria-hidden className="animate-spin" />
                {m.voices.checking}
              </p>
            )}
            {check.error && !check.isFetching && <ErrorNotice error={check.error} />}
            {check.data && <QualityReport quality={check.data} />}
            <VoiceFields form={form} onChange={(change) => setForm({ ...form, ...change })} />
            <TextField
              label={m.voices.id}
              hint={m.voices.idHint}
              error={id !== '' && !isVoiceId(id) ? m.voices.idHint : undefined}
              value={id}
              onChange={(event) => setTypedId(event.target.value)}
              className="font-mono"
            />
            {make.error && <ErrorNotice error={make.error} />}
          </>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{m.app.cancel}</Button>
          <Button type="submit" look="primary" disabled={!isReady}>
            {make.isPending ? m.voices.making : m.voices.make}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Asks the server about a recording, once consent was declared: not before may it be sent. */
function useCheck(recording: File | undefined, consent: boolean) {
  return useQuery({
    queryKey: ['recording', recording?.name, recording?.size, recording?.lastModified],
    enabled: recording !== undefined && consent,
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    queryFn: async ({ signal }) => {
      if (recording === undefined) throw new TypeError('there is no recording');
      const probe = { id: `check-${newId()}`, recording, consent };
      const { quality } = await chatterbox().voices.check(probe, { signal });
      return quality ?? null;
    },
  });
}

function ChosenRecording({ file, onDrop }: { readonly file: File; readonly onDrop: () => void }) {
  const [url, setUrl] = useState<string | undefined>();
  useEffect(() => {
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return (
    <div className="flex flex-wrap items-center gap-3 rounded-xl border border-line p-3">
      {/* biome-ignore lint/a11y/useMediaCaption: nobody has written down what was recorded */}
      <audio controls src={url} aria-label={m.voices.listen} className="h-10 min-w-56 grow" />
      <span className="max-w-44 truncate text-sm text-muted">{file.name}</span>
      <Button size="small" onClick={onDrop}>
        {m.recording.again}
      </Button>
    </div>
  );
}
