/** What both entries offer. */

export type { ApiKey, CallOptions } from './call.js';
export type { Chatterbox, ChatterboxOptions } from './chatterbox.js';
export type { Backend, BackendState, Balancer, Cluster } from './cluster.js';
export type { Conversion, ConversionEvent, ConversionSummary } from './conversion.js';
export {
  type ConversionSettings,
  type ConvertRequest,
  MAX_RECORDING_BYTES,
} from './convert-request.js';
export {
  type ChatterboxError,
  chatterboxErrorOf,
  type ErrorDetails,
  type ErrorKind,
  isChatterboxError,
} from './errors.js';
export type { FileBytes } from './file-bytes.js';
export type { Model, ModelParameter, Models } from './models.js';
export type { OptionName, SynthesisOptions } from './options.js';
export { durationOfPcmMs, joinSamples, type Pcm, type Samples, toFloat32, toInt16 } from './pcm.js';
export type { RenderedSpeech, SoundFormat } from './sound-file.js';
export type { SoundSettings } from './sound-settings.js';
export type {
  CollectedSound,
  PcmFormat,
  SoundBlock,
  SoundEvent,
  SoundStarted,
  SoundStream,
  SoundTimings,
  SoundWarning,
  WordTiming,
} from './sound-stream.js';
export type { SpeakRequest, VoiceSettings } from './speak-request.js';
export type { ReferenceAudio, Speaker } from './speaker.js';
export type {
  Speech,
  SpeechEvent,
  SpeechOnlyEvent,
  SpeechSummary,
} from './speech.js';
export type { BalancerTotals, LatencyHistogram, ServerTotals } from './totals.js';
export type { RecordingQuality, Voice, VoiceFields, VoiceGender } from './voice.js';
export type { ImportFields, ImportVoice } from './voice-archive.js';
export type { NewVoice, Voices } from './voices.js';
export type { WatermarkFinding } from './watermark.js';
export { encodeWav } from './wav.js';
