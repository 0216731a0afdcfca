import { type ReactNode, useRef } from 'react';
import { Button } from './button';

/** A button that lets one choose a file; the same file may be chosen again. */
export function FileButton({
  label,
  accept,
  icon,
  onFile,
}: {
  readonly label: string;
  /** As of `<input>`. */
  readonly accept: string;
  readonly icon: ReactNode;
  readonly onFile: (file: File) => void;
}) {
  const picker = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={picker}
        type="file"
        accept={accept}
        aria-label={label}
        className="hidden"
        onChange={(event) => {
          const [file] = event.target.files ?? [];
          if (file !== undefined) onFile(file);
          event.target.value = '';
        }}
      />
      <Button onClick={() => picker.current?.click()}>
        {icon}
        {label}
      </Button>
    </>
  );
}
