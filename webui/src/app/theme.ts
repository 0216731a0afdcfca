/** Puts the chosen theme on the page, and follows the system where that was chosen. */

import { useSettings } from '@/lib/settings-store';

const SYSTEM_IS_DARK = window.matchMedia('(prefers-color-scheme: dark)');

function apply(): void {
  const { theme } = useSettings.getState();
  const isDark = theme === 'dark' || (theme === 'system' && SYSTEM_IS_DARK.matches);
  document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
}

export function followTheme(): void {
  apply();
  useSettings.subscribe(apply);
  SYSTEM_IS_DARK.addEventListener('change', apply);
}
