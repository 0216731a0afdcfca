import type { VoiceGender } from '@chatterbox/client';
import { BOX, Field, SelectField, TextField } from '@/components/ui/field';
import { languageName } from '@/lib/format';
import { useModels } from '@/lib/queries';
import { m } from '@/messages';

export interface VoiceForm {
  readonly displayName: string;
  readonly description: string;
  readonly languageCode: string;
  readonly gender: VoiceGender;
}

const GENDERS: readonly VoiceGender[] = ['unspecified', 'female', 'male', 'neutral'];

/** What is told of a voice, to be written. */
export function VoiceFields({
  form,
  onChange,
}: {
  readonly form: VoiceForm;
  readonly onChange: (change: Partial<VoiceForm>) => void;
}) {
  const { data: models = [] } = useModels();
  const spoken = new Set([
    'en',
    form.languageCode,
    ...models.flatMap((each) => each.languageCodes),
  ]);
  return (
    <>
      <TextField
        label={m.voices.name}
        value={form.displayName}
        maxLength={100}
        required
        onChange={(event) => onChange({ displayName: event.target.value })}
      />
      <div className="grid grid-cols-2 gap-3">
        <SelectField
          label={m.voices.language}
          value={form.languageCode}
          onChange={(event) => onChange({ languageCode: event.target.value })}
        >
          {[...spoken].sort().map((code) => (
            <option key={code} value={code}>
              {languageName(code)}
            </option>
          ))}
        </SelectField>
        <SelectField
          label={m.voices.gender}
          value={form.gender}
          onChange={(event) => onChange({ gender: event.target.value as VoiceGender })}
        >
          {GENDERS.map((gender) => (
            <option key={gender} value={gender}>
              {m.voices.genders[gender]}
            </option>
          ))}
        </SelectField>
      </div>
      <Field label={m.voices.description}>
        {(ids) => (
          <textarea
            {...ids}
            value={form.description}
            maxLength={1_000}
            rows={2}
            onChange={(event) => onChange({ description: event.target.value })}
            className={`${BOX} py-2 text-sm`}
          />
        )}
      </Field>
    </>
  );
}
