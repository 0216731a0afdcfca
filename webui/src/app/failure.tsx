import { Link } from '@tanstack/react-router';
import { Button } from '@/components/ui/button';
import { Empty } from '@/components/ui/empty';
import { m } from '@/messages';

/** What is shown in place of a screen that broke. */
export function Failure() {
  return (
    <Empty
      title={m.app.crashed}
      advice={m.app.crashedAdvice}
      action={<Button onClick={() => location.reload()}>{m.app.reload}</Button>}
    />
  );
}

export function NotFound() {
  return (
    <Empty
      title={m.app.notFound}
      advice={m.app.notFoundAdvice}
      action={
        <Link to="/" className="font-medium text-accent underline">
          {m.app.backToSpeak}
        </Link>
      }
    />
  );
}
