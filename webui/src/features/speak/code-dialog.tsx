import type { SpeakRequest } from '@chatterbox/client';
import { Check, Copy } from 'lucide-react';
import { Tabs } from 'radix-ui';
import { useState } from 'react';
import { Button } from '@/components/ui/button';
import { Dialog } from '@/components/ui/dialog';
import { serviceUrl } from '@/lib/rpc';
import { useSettings } from '@/lib/settings-store';
import { m } from '@/messages';
import { LANGUAGES, openaiLacks, snippet } from './code-snippets';

const COPIED_MS = 2_000;

export default function CodeDialog({
  request,
  onClose,
}: {
  readonly request: SpeakRequest;
  readonly onClose: () => void;
}) {
  const hasKey = useSettings((settings) => settings.apiKey !== '');
  const lacks = openaiLacks(request);
  return (
    <Dialog isOpen isWide onClose={onClose} title={m.speak.code} description={m.speak.codeIntro}>
      <Tabs.Root defaultValue="Python">
        <Tabs.List aria-label={m.speak.code} className="mb-3 flex gap-1 border-b border-line">
          {LANGUAGES.map((language) => (
            <Tabs.Trigger
              key={language}
              value={language}
              className="-mb-px border-b-2 border-transparent px-3 py-1.5 text-sm font-medium text-muted hover:text-ink data-[state=active]:border-accent data-[state=active]:text-ink"
            >
              {language}
            </Tabs.Trigger>
          ))}
        </Tabs.List>
        {LANGUAGES.map((language) => (
          <Tabs.Content key={language} value={language} tabIndex={-1}>
            <Code text={snippet(language, request, { url: serviceUrl(), hasKey })} />
            {language === 'OpenAI SDK' && lacks.length > 0 && (
              <p className="mt-2 text-sm text-muted">{m.speak.openaiLacks(lacks.join(', '))}</p>
            )}
          </Tabs.Content>
        ))}
      </Tabs.Root>
    </Dialog>
  );
}

function Code({ text }: { readonly text: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), COPIED_MS);
  };
  return (
    <div className="relative">
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
        tabIndex={0}
        className="overflow-x-auto rounded-xl bg-sunken p-4 pt-12 font-mono text-sm leading-relaxed sm:pt-4 sm:pr-28"
      >
        {text}
      </pre>
      <Button size="small" className="absolute top-2.5 right-2.5" onClick={() => void copy()}>
        {isCopied ? <Check size={15} aria-hidden /> : <Copy size={15} aria-hidden />}
        <span aria-live="polite">{isCopied ? m.app.copied : m.app.copy}</span>
      </Button>
    </div>
  );
}
