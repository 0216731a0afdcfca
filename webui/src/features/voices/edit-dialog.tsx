import type { Voice } from '@chatterbox/client';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { Button } from '@/components/ui/button';
import { Dialog } from '@/components/ui/dialog';
import { ErrorNotice } from '@/components/ui/notice';
import { say } from '@/components/ui/toast';
import { queryClient } from '@/lib/queries';
import { chatterbox } from '@/lib/rpc';
import { m } from '@/messages';
import { QualityReport } from './quality-report';
import { VoiceFields, type VoiceForm } from './voice-fields';

export function EditDialog({
  voice,
  onClose,
}: {
  readonly voice: Voice;
  readonly onClose: () => void;
}) {
  const { displayName, description, languageCode, gender, quality } = voice;
  const [form, setForm] = useState<VoiceForm>({ displayName, description, languageCode, gender });
  const save = useMutation({
    mutationFn: () => chatterbox().voices.update(voice.id, form),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ['voices'] });
      say(m.voices.saved);
      onClose();
    },
  });
  return (
    <Dialog isOpen onClose={onClose} title={m.voices.editTitle(displayName)}>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <VoiceFields form={form} onChange={(change) => setForm({ ...form, ...change })} />
        {quality && <QualityReport quality={quality} />}
        {save.error && <ErrorNotice error={save.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{m.app.cancel}</Button>
          <Button
            type="submit"
            look="primary"
            disabled={save.isPending || form.displayName.trim() === ''}
          >
            {m.voices.save}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
