import type { SoundFormat } from '@chatterbox/client';
import { Eye, EyeOff } from 'lucide-react';
import { type ReactNode, useEffect, useState } from 'react';
import { Button, IconButton } from '@/components/ui/button';
import { Confirm } from '@/components/ui/confirm';
import { BOX, Field, SelectField, TextField } from '@/components/ui/field';
import { ErrorNotice, Notice } from '@/components/ui/notice';
import { PageHeader } from '@/components/ui/page';
import { Slider } from '@/components/ui/slider';
import { forgetEverything } from '@/lib/forget';
import { bytes } from '@/lib/format';
import { chatterbox, serviceUrl } from '@/lib/rpc';
import { changeSettings, type Theme, useSettings } from '@/lib/settings-store';
import { m } from '@/messages';

const THEMES: readonly Theme[] = ['system', 'light', 'dark'];
const MAX_PREBUFFER_MS = 1_000;

export default function SettingsPage() {
  return (
    <div className="mx-auto max-w-2xl">
      <PageHeader title={m.screens.settings} />
      <div className="space-y-4">
        <ConnectionSection />
        <AppearanceSection />
        <SoundSection />
        <DataSection />
        <p className="px-1 text-sm text-muted">
          <a href={`${serviceUrl()}/docs`} className="underline hover:text-ink">
            {m.settings.apiDocs}
          </a>
        </p>
      </div>
    </div>
  );
}

function Section({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <section aria-label={title} className="rounded-2xl border border-line bg-surface p-5">
      <h2 className="mb-4 text-lg font-semibold">{title}</h2>
      <div className="space-y-4">{children}</div>
    </section>
  );
}

type TestResult = { readonly text: string } | { readonly error: unknown };

function ConnectionSection() {
  const { apiKey, address } = useSettings();
  const [isShown, setIsShown] = useState(false);
  const [isTesting, setIsTesting] = useState(false);
  const [result, setResult] = useState<TestResult | undefined>();
  const isForeign = isOtherOrigin(address);
  const test = async (): Promise<void> => {
    setIsTesting(true);
    const begunAt = performance.now();
    try {
      const [models, voices] = await Promise.all([
        chatterbox().models.list(),
        chatterbox().voices.list(),
      ]);
      const names = models.map(({ displayName }) => displayName).join(', ');
      const tookMs = Math.round(performance.now() - begunAt);
      setResult({ text: m.settings.testOk(names, voices.length, tookMs) });
    } catch (error) {
      setResult({ error });
    } finally {
      setIsTesting(false);
    }
  };
  return (
    <Section title={m.settings.connection}>
      <Field label={m.settings.apiKey} hint={m.settings.apiKeyHint}>
        {(ids) => (
          <div className="flex gap-1">
            <input
              {...ids}
              type={isShown ? 'text' : 'password'}
              autoComplete="off"
              spellCheck={false}
              value={apiKey}
              onChange={(event) => {
                setResult(undefined);
                changeSettings({ apiKey: event.target.value });
              }}
              className={`${BOX} h-9 font-mono text-sm`}
            />
            <IconButton
              label={isShown ? m.settings.hide : m.settings.show}
              aria-pressed={isShown}
              onClick={() => setIsShown(!isShown)}
              className="!h-9 !w-9"
            >
              {isShown ? <EyeOff size={16} aria-hidden /> : <Eye size={16} aria-hidden />}
            </IconButton>
          </div>
        )}
      </Field>
      <TextField
        label={m.settings.address}
        hint={isForeign ? m.settings.addressForeign : m.settings.addressHint}
        type="url"
        value={address}
        placeholder={location.origin}
        onChange={(event) => {
          setResult(undefined);
          changeSettings({ address: event.target.value.trim() });
        }}
      />
      <Button onClick={() => void test()} disabled={isTesting}>
        {isTesting ? m.settings.testing : m.settings.test}
      </Button>
      {result !== undefined &&
        ('error' in result ? (
          <ErrorNotice error={result.error} />
        ) : (
          <Notice tone="info" title={result.text} />
        ))}
    </Section>
  );
}

function isOtherOrigin(address: string): boolean {
  if (address === '') return false;
  try {
    return new URL(address).origin !== location.origin;
  } catch {
    return true;
  }
}

function AppearanceSection() {
  const theme = useSettings((settings) => settings.theme);
  return (
    <Section title={m.settings.appearance}>
      <fieldset>
        <legend className="mb-1.5 text-sm font-medium">{m.settings.theme}</legend>
        <div className="inline-flex rounded-lg border border-line bg-sunken p-0.5">
          {THEMES.map((each) => (
            <label
              key={each}
              className="cursor-pointer rounded-md px-3.5 py-1.5 text-sm text-muted has-checked:bg-surface has-checked:font-medium has-checked:text-ink has-checked:shadow-sm has-focus-visible:outline-2 has-focus-visible:outline-accent"
            >
              <input
                type="radio"
                name="theme"
                value={each}
                checked={theme === each}
                onChange={() => changeSettings({ theme: each })}
                className="sr-only"
              />
              {m.settings.themes[each]}
            </label>
          ))}
        </div>
      </fieldset>
    </Section>
  );
}

function SoundSection() {
  const { volume, prebufferMs, format } = useSettings();
  return (
    <Section title={m.settings.sound}>
      <Slider
        label={m.settings.volume}
        value={volume}
        min={0}
        max={1}
        step={0.01}
        shown={`${Math.round(volume * 100)} %`}
        onChange={(next) => changeSettings({ volume: next })}
      />
      <Slider
        label={m.settings.prebuffer}
        hint={m.settings.prebufferHint}
        value={prebufferMs}
        min={20}
        max={MAX_PREBUFFER_MS}
        step={20}
        shown={m.settings.prebufferValue(prebufferMs)}
        onChange={(next) => changeSettings({ prebufferMs: next })}
      />
      <SelectField
        label={m.settings.format}
        hint={m.settings.formatHint}
        value={format}
        onChange={(event) => changeSettings({ format: event.target.value as SoundFormat })}
      >
        {Object.entries(m.speak.formats).map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </SelectField>
    </Section>
  );
}

function DataSection() {
  const [used, setUsed] = useState<number | undefined>();
  const [isAsking, setIsAsking] = useState(false);
  useEffect(() => {
    void navigator.storage?.estimate().then(({ usage }) => setUsed(usage));
  }, []);
  return (
    <Section title={m.settings.data}>
      <p className="text-sm text-muted">
        {m.settings.dataHint} {used !== undefined && m.settings.used(bytes(used))}
      </p>
      <Button look="danger" onClick={() => setIsAsking(true)}>
        {m.settings.forget}
      </Button>
      <Confirm
        isOpen={isAsking}
        title={m.settings.forget}
        advice={m.settings.forgetAsk}
        action={m.settings.forget}
        onConfirm={() => void forgetEverything()}
        onClose={() => setIsAsking(false)}
      />
    </Section>
  );
}
