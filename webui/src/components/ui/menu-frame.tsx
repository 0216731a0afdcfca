import { DropdownMenu as Radix } from 'radix-ui';
import type { ReactNode } from 'react';

export interface MenuItem {
  readonly label: string;
  readonly icon?: ReactNode;
  readonly isDanger?: boolean;
  readonly isDisabled?: boolean;
  readonly onSelect: () => void;
}

export interface MenuFrameProps {
  readonly trigger: ReactNode;
  readonly items: readonly MenuItem[];
}

/** A menu that is open at first. */
export default function MenuFrame({ trigger, items }: MenuFrameProps) {
  return (
    <Radix.Root modal={false} defaultOpen>
      <Radix.Trigger asChild>{trigger}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content
          align="end"
          sideOffset={5}
          collisionPadding={8}
          className="z-50 min-w-48 rounded-xl border border-line bg-surface p-1 shadow-raised"
        >
          {items.map(({ label, icon, isDanger, isDisabled, onSelect }) => (
            <Radix.Item
              key={label}
              disabled={isDisabled ?? false}
              onSelect={onSelect}
              className={`flex h-9 cursor-pointer items-center gap-2.5 rounded-lg px-2.5 text-sm outline-none select-none data-[disabled]:cursor-not-allowed data-[disabled]:opacity-50 data-[highlighted]:bg-sunken ${isDanger ? 'text-danger' : ''}`}
            >
              {icon}
              {label}
            </Radix.Item>
          ))}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
