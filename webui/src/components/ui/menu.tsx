import { cloneElement, lazy, type ReactElement, Suspense, useState } from 'react';
import type { ButtonProps } from './button';
import type { MenuItem } from './menu-frame';

const load = () => import('./menu-frame');
const MenuFrame = lazy(load);

export interface MenuProps {
  readonly trigger: ReactElement<ButtonProps>;
  readonly items: readonly MenuItem[];
}

/** A button with a menu, which is loaded when it is first wanted. */
export function Menu({ trigger, items }: MenuProps) {
  const [isWanted, setIsWanted] = useState(false);
  const button = cloneElement(trigger, {
    'aria-haspopup': 'menu',
    onClick: () => setIsWanted(true),
    onPointerEnter: () => void load(),
  });
  if (!isWanted) return button;
  return (
    <Suspense fallback={button}>
      <MenuFrame trigger={trigger} items={items} />
    </Suspense>
  );
}
