import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { Dialog } from '@/components/ui/dialog';
import { Toasts } from '@/components/ui/toast';
import { type Connection, useConnection } from '@/lib/queries';
import { m } from '@/messages';
import { ConnectionNotice } from './connection-notice';
import { SCREENS } from './screens';

export function Shell() {
  const connection = useConnection();
  const main = useRef<HTMLElement>(null);
  const [areShortcutsShown, setAreShortcutsShown] = useState(false);
  useShortcuts(() => setAreShortcutsShown(true));
  useTitle();
  return (
    <div className="md:grid md:min-h-dvh md:grid-cols-[4.25rem_minmax(0,1fr)] xl:grid-cols-[13rem_minmax(0,1fr)]">
      <button
        type="button"
        onClick={() => main.current?.focus()}
        className="fixed top-2 left-2 z-50 -translate-y-16 rounded-lg bg-accent px-3 py-2 text-sm font-medium text-on-accent focus:translate-y-0"
      >
        {m.app.skip}
      </button>
      <Navigation connection={connection} />
      <main
        ref={main}
        id="main"
        tabIndex={-1}
        className="mx-auto w-full max-w-6xl px-4 pt-5 pb-24 outline-none sm:px-6 md:pt-8 md:pb-12"
      >
        <ConnectionNotice connection={connection} />
        <Outlet />
      </main>
      <Toasts />
      <Dialog
        isOpen={areShortcutsShown}
        onClose={() => setAreShortcutsShown(false)}
        title={m.app.shortcuts}
      >
        <dl className="space-y-2 text-sm">
          {m.shortcuts.map(([keys, what]) => (
            <div key={keys} className="flex justify-between gap-4">
              <dt>{what}</dt>
              <dd>
                <kbd className="rounded-md border border-line bg-sunken px-1.5 py-0.5 font-mono text-xs">
                  {keys}
                </kbd>
              </dd>
            </div>
          ))}
        </dl>
      </Dialog>
    </div>
  );
}

function Navigation({ connection }: { readonly connection: Connection }) {
  return (
    <nav
      aria-label={m.app.navigation}
      className="fixed inset-x-0 bottom-0 z-30 border-t border-line bg-surface md:sticky md:top-0 md:flex md:h-dvh md:flex-col md:border-t-0 md:border-r"
    >
      <p className="hidden h-16 items-center gap-2.5 px-5 text-lg font-semibold tracking-tight md:flex md:justify-center md:px-0 xl:justify-start xl:px-5">
        <img src="/favicon.svg" alt="" width="28" height="28" />
        <span className="hidden xl:inline">{m.app.name}</span>
      </p>
      <ul className="flex md:flex-col md:gap-0.5 md:px-2.5">
        {SCREENS.map(({ path, name, icon: Icon }) => (
          <li key={path} className="min-w-0 grow">
            <Link
              to={path}
              activeOptions={{ exact: true }}
              activeProps={{
                className: 'text-accent md:bg-accent-soft font-semibold',
                'aria-current': 'page',
              }}
              inactiveProps={{ className: 'text-muted hover:text-ink md:hover:bg-sunken' }}
              className="flex h-15 flex-col items-center justify-center gap-0.5 text-[0.6875rem] md:h-13 md:rounded-lg md:text-[0.625rem] xl:h-10 xl:flex-row xl:justify-start xl:gap-3 xl:px-2.5 xl:text-sm"
            >
              <Icon size={19} aria-hidden strokeWidth={1.8} />
              {name}
            </Link>
          </li>
        ))}
      </ul>
      <span className="grow" />
      <ConnectionDot connection={connection} />
    </nav>
  );
}

function ConnectionDot({ connection }: { readonly connection: Connection }) {
  const [text, colour] = {
    ok: [m.connection.ok, 'bg-accent'],
    connecting: [m.connection.connecting, 'bg-line-strong'],
    lost: [m.connection.lost, 'bg-danger'],
    'no-key': [m.settings.apiKey, 'bg-warning'],
    'wrong-key': [m.settings.apiKey, 'bg-warning'],
  }[connection];
  return (
    <p
      className="hidden h-12 items-center gap-2.5 px-5 text-xs text-muted md:flex md:justify-center md:px-0 xl:justify-start xl:px-5"
      data-testid="connection"
      title={text}
    >
      <span aria-hidden className={`size-2 rounded-full ${colour}`} />
      <span className="sr-only xl:not-sr-only">{text}</span>
    </p>
  );
}

function useShortcuts(showList: () => void): void {
  const navigate = useNavigate();
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const isWriting =
        event.target instanceof HTMLElement && event.target.closest('input, textarea, select');
      const screen =
        event.altKey && /^Digit[1-9]$/.test(event.code) && SCREENS[Number(event.code.slice(5)) - 1];
      if (screen) {
        event.preventDefault();
        void navigate({ to: screen.path });
      } else if (event.key === '?' && !isWriting) {
        showList();
      }
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, [navigate, showList]);
}

function useTitle(): void {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const name = SCREENS.find((screen) => screen.path === path)?.name;
  useEffect(() => {
    document.title = name === undefined ? m.app.name : `${name} · ${m.app.name}`;
  }, [name]);
}
