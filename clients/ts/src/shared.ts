/** What both entries offer. */

export type { ApiKey, CallOptions } from './call.js';
export type { Chatterbox, ChatterboxOptions } from './chatterbox.js';
export type { Backend, BackendState, Balancer, Cluster } from './cluster.js';
export {
  type ChatterboxError,
  chatterboxErrorOf,
  type ErrorDetails,
  type ErrorKind,
  isChatterboxError,
} from './errors.js';
export type { Model, ModelParameter, Models } from './models.js';
export type { OptionName, SynthesisOptions } from './options.js';
export { durationOfPcmMs, joinSamples, type Pcm, type Samples, toFloat32, toInt16 } from './pcm.js';
export type { RenderedSpeech, SoundFormat } from './sound-file.js';
export type {
  CollectedSound,
  PcmFormat,
  SoundBlock,
  SoundEvent,
  SoundStream,
  SoundTimings,
  SoundWarning,
} from './sound-stream.js';
export type { ReferenceAudio, SpeakRequest, VoiceSettings } from './speak-request.js';
export type {
  LiveEvent,
  Speech,
  SpeechEvent,
  SpeechStarted,
  SpeechSummary,
} from './speech.js';
export type { BalancerTotals, LatencyHistogram, ServerTotals } from './totals.js';
export type { Voice, VoiceGender, Voices } from './voices.js';
export { encodeWav } from './wav.js';
