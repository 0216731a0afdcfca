import { RotateCcw } from 'lucide-react';
import { Slider as Radix } from 'radix-ui';
import { useId } from 'react';

export interface SliderProps {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  /** What the thumb says, such as `1.2 ×`. */
  readonly shown: string;
  readonly onChange: (value: number) => void;
  /** Given where the value is not the default: goes back to it. */
  readonly onReset?: (() => void) | undefined;
  readonly resetLabel?: string | undefined;
}

export function Slider(props: SliderProps) {
  const { label, hint, value, min, max, step, shown, onChange, onReset, resetLabel } = props;
  const id = useId();
  return (
    <div>
      <div className="flex h-6 items-center gap-2 text-sm">
        <span id={id} className="font-medium">
          {label}
        </span>
        <span className="grow" />
        {onReset !== undefined && (
          <button
            type="button"
            onClick={onReset}
            aria-label={resetLabel}
            title={resetLabel}
            className="rounded p-1 text-muted hover:text-ink"
          >
            <RotateCcw size={13} aria-hidden />
          </button>
        )}
        <output
          className={`tabular ${onReset === undefined ? 'text-muted' : 'font-medium text-accent'}`}
        >
          {shown}
        </output>
      </div>
      <Radix.Root
        value={[value]}
        min={min}
        max={max}
        step={step}
        onValueChange={([next]) => next !== undefined && onChange(next)}
        className="relative flex h-5 touch-none items-center select-none"
      >
        <Radix.Track className="relative h-1 grow rounded-full bg-line">
          <Radix.Range className="absolute h-full rounded-full bg-accent" />
        </Radix.Track>
        <Radix.Thumb
          aria-labelledby={id}
          aria-valuetext={shown}
          className="block size-4 rounded-full border-2 border-accent bg-surface shadow-sm transition-transform hover:scale-110"
        />
      </Radix.Root>
      {hint && <p className="text-xs text-muted">{hint}</p>}
    </div>
  );
}
