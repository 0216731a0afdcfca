import { clsx } from 'clsx';
import { ChevronDown } from 'lucide-react';
import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from 'react';

export const BOX =
  'w-full rounded-lg border border-line-strong/70 bg-surface px-3 text-ink placeholder:text-muted hover:border-line-strong';

export interface FieldProps {
  readonly label: string;
  readonly hint?: ReactNode;
  readonly error?: string | undefined;
}

/** A label, a control and what is to be said about it. */
export function Field({
  label,
  hint,
  error,
  children,
}: FieldProps & {
  readonly children: (ids: { id: string; 'aria-describedby': string | undefined }) => ReactNode;
}) {
  const id = useId();
  const about = hint !== undefined || error !== undefined ? `${id}-about` : undefined;
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-sm font-medium">
        {label}
      </label>
      {children({ id, 'aria-describedby': about })}
      {about !== undefined && (
        <p id={about} className={clsx('mt-1 text-xs', error ? 'text-danger' : 'text-muted')}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

export function TextField({
  label,
  hint,
  error,
  className,
  ...rest
}: FieldProps & InputHTMLAttributes<HTMLInputElement>) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(ids) => (
        <input
          {...ids}
          aria-invalid={error !== undefined || undefined}
          {...rest}
          className={clsx(BOX, 'h-9 text-sm', className)}
        />
      )}
    </Field>
  );
}

export function SelectField({
  label,
  hint,
  children,
  ...rest
}: Pick<FieldProps, 'label' | 'hint'> & SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <Field label={label} hint={hint}>
      {(ids) => (
        <div className="relative">
          <select {...ids} {...rest} className={clsx(BOX, 'h-9 appearance-none pr-8 text-sm')}>
            {children}
          </select>
          <ChevronDown
            size={15}
            aria-hidden
            className="pointer-events-none absolute top-1/2 right-2.5 -translate-y-1/2 text-muted"
          />
        </div>
      )}
    </Field>
  );
}
