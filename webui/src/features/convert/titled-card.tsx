import { type ReactNode, useId } from 'react';

/** One side of the screen: what it holds, whose that is, and the rest below. */
export function TitledCard({
  title,
  note,
  children,
}: {
  readonly title: string;
  readonly note: string | undefined;
  readonly children: ReactNode;
}) {
  const titleId = useId();
  return (
    <section aria-labelledby={titleId} className="flex h-full flex-col gap-3">
      <div className="flex items-baseline gap-3">
        <h2 id={titleId} className="text-lg font-semibold">
          {title}
        </h2>
        {note && <p className="min-w-0 truncate text-sm text-muted">{note}</p>}
      </div>
      {children}
    </section>
  );
}
