import { lazy, Suspense } from 'react';
import type { DialogFrameProps } from './dialog-frame';

// Nobody meets a dialog first, so that it is not loaded first.
const DialogFrame = lazy(() => import('./dialog-frame'));

export type DialogProps = DialogFrameProps & { readonly isOpen: boolean };

export function Dialog({ isOpen, ...frame }: DialogProps) {
  if (!isOpen) return null;
  return (
    <Suspense>
      <DialogFrame {...frame} />
    </Suspense>
  );
}
