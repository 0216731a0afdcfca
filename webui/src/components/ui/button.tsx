import { clsx } from 'clsx';
import type { ButtonHTMLAttributes } from 'react';

type Look = 'primary' | 'plain' | 'quiet' | 'danger';
type Size = 'small' | 'medium' | 'large';

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly look?: Look;
  readonly size?: Size;
}

const LOOKS: Readonly<Record<Look, string>> = {
  primary: 'bg-accent text-on-accent hover:bg-accent-strong border border-transparent',
  plain: 'bg-surface text-ink border border-line hover:border-line-strong',
  quiet: 'text-muted hover:text-ink hover:bg-sunken border border-transparent',
  danger: 'bg-danger-soft text-danger border border-transparent hover:border-danger',
};

const SIZES: Readonly<Record<Size, string>> = {
  small: 'h-8 px-2.5 text-sm gap-1.5',
  medium: 'h-9 px-3.5 text-sm gap-2',
  large: 'h-11 px-5 text-base gap-2.5',
};

export function Button({ look = 'plain', size = 'medium', className, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      className={clsx(
        'inline-flex shrink-0 select-none items-center justify-center rounded-lg font-medium whitespace-nowrap transition-colors disabled:cursor-not-allowed disabled:opacity-50',
        LOOKS[look],
        SIZES[size],
        className,
      )}
    />
  );
}

/** A button that shows only a picture; its label is for readers and as a hint. */
export function IconButton({
  label,
  className,
  ...rest
}: Omit<ButtonProps, 'size'> & { readonly label: string }) {
  return (
    <Button
      look="quiet"
      size="small"
      aria-label={label}
      title={label}
      {...rest}
      className={clsx('w-8 !px-0', className)}
    />
  );
}
