import { FileAudio, Mic } from 'lucide-react';
import { type DragEvent, useRef, useState } from 'react';
import { Button } from '@/components/ui/button';
import { m } from '@/messages';
import { Recorder, type RecordingBrief } from './recorder';

/** A file or the microphone. */
export function RecordingSource({
  brief,
  onRecording,
}: {
  readonly brief: RecordingBrief;
  readonly onRecording: (file: File) => void;
}) {
  const [isRecording, setIsRecording] = useState(false);
  const [isDragged, setIsDragged] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const take = (file: File | undefined): void => {
    if (file !== undefined) onRecording(file);
  };
  if (isRecording) {
    return (
      <Recorder brief={brief} onRecording={onRecording} onCancel={() => setIsRecording(false)} />
    );
  }
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setIsDragged(false);
    take(event.dataTransfer.files[0]);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is a shortcut for the buttons
    <div
      onDragOver={(event) => {
        event.preventDefault();
        setIsDragged(true);
      }}
      onDragLeave={() => setIsDragged(false)}
      onDrop={drop}
      className={`flex flex-col items-center gap-3 rounded-xl border border-dashed px-4 py-8 ${isDragged ? 'border-accent bg-accent-soft' : 'border-line-strong'}`}
    >
      <p className="font-medium">{m.recording.drop}</p>
      <div className="flex flex-wrap justify-center gap-2">
        <input
          ref={picker}
          type="file"
          accept="audio/*,.wav,.mp3,.flac,.ogg,.m4a,.webm"
          aria-label={m.recording.choose}
          className="hidden"
          onChange={(event) => take(event.target.files?.[0])}
        />
        <Button onClick={() => picker.current?.click()}>
          <FileAudio size={16} aria-hidden />
          {m.recording.choose}
        </Button>
        <Button onClick={() => setIsRecording(true)}>
          <Mic size={16} aria-hidden />
          {m.recording.record}
        </Button>
      </div>
    </div>
  );
}
