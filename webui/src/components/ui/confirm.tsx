import { m } from '@/messages';
import { Button } from './button';
import { Dialog } from './dialog';

export interface ConfirmProps {
  readonly isOpen: boolean;
  readonly title: string;
  readonly advice?: string | undefined;
  readonly action: string;
  readonly isHarmless?: boolean;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}

/** Asks before something that cannot be taken back. */
export function Confirm({
  isOpen,
  title,
  advice,
  action,
  isHarmless,
  onConfirm,
  onClose,
}: ConfirmProps) {
  return (
    <Dialog isOpen={isOpen} onClose={onClose} title={title} description={advice}>
      <div className="flex justify-end gap-2 pt-1">
        <Button onClick={onClose}>{m.app.cancel}</Button>
        <Button
          look={isHarmless ? 'primary' : 'danger'}
          onClick={() => {
            onConfirm();
            onClose();
          }}
        >
          {action}
        </Button>
      </div>
    </Dialog>
  );
}
