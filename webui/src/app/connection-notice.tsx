import { Link } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { Notice } from '@/components/ui/notice';
import { say } from '@/components/ui/toast';
import { type Connection, queryClient } from '@/lib/queries';
import { m } from '@/messages';

/** Says when the server is lost or wants a key, and when it is back. */
export function ConnectionNotice({ connection }: { readonly connection: Connection }) {
  const wasLost = useRef(false);
  useEffect(() => {
    if (connection === 'lost') wasLost.current = true;
    if (connection !== 'ok' || !wasLost.current) return;
    wasLost.current = false;
    say(m.connection.back);
    void queryClient.invalidateQueries({
      predicate: ({ queryKey }) => queryKey[0] !== 'connection',
    });
  }, [connection]);

  if (connection === 'ok' || connection === 'connecting') return null;
  if (connection === 'lost') {
    return (
      <div className="mb-4">
        <Notice tone="danger" title={m.connection.lostTitle} advice={m.connection.lostAdvice} />
      </div>
    );
  }
  const title = connection === 'no-key' ? m.connection.keyTitle : m.connection.keyWrongTitle;
  return (
    <div className="mb-4">
      <Notice
        tone="warning"
        title={title}
        advice={m.connection.keyAdvice}
        action={
          <Link to="/settings" className="font-semibold whitespace-nowrap text-ink underline">
            {m.connection.keyAction}
          </Link>
        }
      />
    </div>
  );
}
