import { FileAudio, Mic } from 'lucide-react';
import { type DragEvent, useState } from 'react';
import { Button } from '@/components/ui/button';
import { FileButton } from '@/components/ui/file-button';
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
  if (isRecording) {
    return (
      <Recorder brief={brief} onRecording={onRecording} onCancel={() => setIsRecording(false)} />
    );
  }
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setIsDragged(false);
    const [file] = event.dataTransfer.files;
    if (file !== undefined) onRecording(file);
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
        <FileButton
          label={m.recording.choose}
          accept="audio/*,.wav,.mp3,.flac,.ogg,.m4a,.webm"
          icon={<FileAudio size={16} aria-hidden />}
          onFile={onRecording}
        />
        <Button onClick={() => setIsRecording(true)}>
          <Mic size={16} aria-hidden />
          {m.recording.record}
        </Button>
      </div>
    </div>
  );
}
