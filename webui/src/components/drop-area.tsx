import { type DragEvent, type ReactNode, useState } from 'react';

/** A screen on which a file may be dropped anywhere: a shortcut for its buttons. */
export function DropArea({
  onFile,
  children,
}: {
  readonly onFile: (file: File) => void;
  readonly children: ReactNode;
}) {
  const [isDragged, setIsDragged] = useState(false);
  const drop = (event: DragEvent): void => {
    setIsDragged(false);
    if (event.isDefaultPrevented()) return; // something inside has taken it
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file !== undefined) onFile(file);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is a shortcut for the buttons
    <div
      onDragOver={(event) => {
        event.preventDefault();
        setIsDragged(true);
      }}
      onDragLeave={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setIsDragged(false);
      }}
      onDrop={drop}
      className={`min-h-[70dvh] rounded-2xl ${isDragged ? 'outline-2 outline-offset-8 outline-accent outline-dashed' : ''}`}
    >
      {children}
    </div>
  );
}
