import { Square } from 'lucide-react';
import type { ReactNode } from 'react';
import { Button } from '@/components/ui/button';
import { m } from '@/messages';

export interface StartStopProps {
  /** Of the button that starts, for tests; the other one is `stop`. */
  readonly testId: string;
  readonly isBusy: boolean;
  readonly canStart: boolean;
  readonly className?: string;
  /** What starts. */
  readonly children: ReactNode;
  readonly onStart: () => void;
  readonly onStop: () => void;
}

/** The main button of a screen: starts, and stops meanwhile. */
export function StartStop(props: StartStopProps) {
  const { testId, isBusy, canStart, className, children, onStart, onStop } = props;
  if (isBusy) {
    return (
      <Button key="stop" size="large" className={className} onClick={onStop} data-testid="stop">
        <Square size={15} aria-hidden fill="currentColor" />
        {m.speak.stop}
      </Button>
    );
  }
  return (
    <Button
      key="start"
      size="large"
      look="primary"
      className={className}
      disabled={!canStart}
      onClick={onStart}
      data-testid={testId}
      aria-keyshortcuts="Control+Enter"
    >
      {children}
    </Button>
  );
}
