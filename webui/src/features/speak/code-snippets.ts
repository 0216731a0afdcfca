/** The same speech from one's own program. */

import type { SpeakRequest, SynthesisOptions } from '@chatterbox/client';

export const LANGUAGES = ['Python', 'TypeScript', 'curl', 'OpenAI SDK'] as const;
export type CodeLanguage = (typeof LANGUAGES)[number];

export interface SnippetContext {
  readonly url: string;
  readonly hasKey: boolean;
}

const WIRE_NAMES: Readonly<Record<keyof SynthesisOptions, string>> = {
  seed: 'seed',
  temperature: 'temperature',
  exaggeration: 'exaggeration',
  cfgWeight: 'cfg_weight',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
};
const KEY_VARIABLE = 'CHATTERBOX_API_KEY';

export function snippet(
  language: CodeLanguage,
  request: SpeakRequest,
  context: SnippetContext,
): string {
  switch (language) {
    case 'Python':
      return python(request, context);
    case 'TypeScript':
      return typescript(request, context);
    case 'curl':
      return curl(request, context);
    case 'OpenAI SDK':
      return openai(request, context);
  }
}

/** What OpenAI's API cannot say of a request. */
export function openaiLacks({ options = {} }: SpeakRequest): string[] {
  return Object.entries(options)
    .filter(([name, value]) => name !== 'seed' && value !== undefined)
    .map(([name]) => WIRE_NAMES[name as keyof SynthesisOptions]);
}

// A JSON string is a string of Python and of TypeScript, too.
const quoted = (text: string): string => JSON.stringify(text);

/** The options that are set, by the contract's names. */
function wireOptions({ options = {} }: SpeakRequest): [string, string][] {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [WIRE_NAMES[name as keyof SynthesisOptions], String(value)]);
}

function python(request: SpeakRequest, { url, hasKey }: SnippetContext): string {
  const { host, protocol } = new URL(url);
  const isSecure = protocol === 'https:';
  const target = /:\d+$/.test(host) ? host : `${host}:${isSecure ? 443 : 80}`;
  const selection = [
    request.voice && `name=${quoted(`voices/${request.voice}`)}`,
    request.model && `model=${quoted(`models/${request.model}`)}`,
    request.languageCode && `language_code=${quoted(request.languageCode)}`,
  ].filter(Boolean);
  const options = wireOptions(request).map(([name, value]) => `${name}=${value}`);
  const rate = request.speakingRate;
  const fields = [
    `    input=tts.SynthesisInput(text=${quoted(request.text)}),`,
    selection.length > 0 && `    voice=tts.VoiceSelection(${selection.join(', ')}),`,
    rate !== undefined && `    audio_config=tts.AudioConfig(speaking_rate=${rate}),`,
    options.length > 0 && `    options=tts.SynthesisOptions(${options.join(', ')}),`,
  ].filter(Boolean);
  const channel = isSecure
    ? `grpc.secure_channel(${quoted(target)}, grpc.ssl_channel_credentials())`
    : `grpc.insecure_channel(${quoted(target)})`;
  const call = hasKey ? 'Synthesize(request, metadata=metadata)' : 'Synthesize(request)';
  return [
    ...(hasKey ? ['import os'] : []),
    'import wave',
    'import grpc',
    'from chatterbox.v1 import synthesis_pb2 as tts',
    'from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub',
    '',
    'request = tts.SynthesizeRequest(',
    ...fields,
    ')',
    ...(hasKey
      ? [`metadata = [("authorization", "Bearer " + os.environ["${KEY_VARIABLE}"])]`]
      : []),
    `with ${channel} as channel, wave.open("speech.wav", "wb") as file:`,
    `    for response in TextToSpeechServiceStub(channel).${call}:`,
    '        if response.HasField("started"):',
    '            file.setparams((1, 2, response.started.sample_rate_hertz, 0, "NONE", ""))',
    '        file.writeframesraw(response.audio.audio_content)',
  ].join('\n');
}

function typescript(request: SpeakRequest, { url, hasKey }: SnippetContext): string {
  const { text, voice, model, languageCode, speakingRate, options } = request;
  const settings = Object.entries(options ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${typeof value === 'bigint' ? `${value}n` : value}`);
  const fields = [
    `  text: ${quoted(text)},`,
    voice && `  voice: ${quoted(voice)},`,
    model && `  model: ${quoted(model)},`,
    languageCode && `  languageCode: ${quoted(languageCode)},`,
    speakingRate !== undefined && `  speakingRate: ${speakingRate},`,
    settings.length > 0 && `  options: { ${settings.join(', ')} },`,
  ].filter(Boolean);
  const key = hasKey ? `, apiKey: process.env.${KEY_VARIABLE}` : '';
  return [
    "import { writeFile } from 'node:fs/promises';",
    "import { createChatterbox } from '@chatterbox/client/node';",
    '',
    `const chatterbox = createChatterbox({ baseUrl: ${quoted(url)}${key} });`,
    'const speech = chatterbox.speak({',
    ...fields,
    '});',
    "await writeFile('speech.wav', await speech.toWav());",
    'await chatterbox.close();',
  ].join('\n');
}

function curl(request: SpeakRequest, { url, hasKey }: SnippetContext): string {
  const options = wireOptions(request).map(([name, value]) => `"${name}": ${value}`);
  const voice = {
    ...(request.voice ? { name: `voices/${request.voice}` } : {}),
    ...(request.model ? { model: `models/${request.model}` } : {}),
    ...(request.languageCode ? { language_code: request.languageCode } : {}),
  };
  const rate = request.speakingRate;
  const body = [
    `"input": {"text": ${quoted(request.text)}}`,
    Object.keys(voice).length > 0 && `"voice": ${JSON.stringify(voice)}`,
    `"audio_config": {"audio_encoding": "MP3"${rate === undefined ? '' : `, "speaking_rate": ${rate}`}}`,
    options.length > 0 && `"options": {${options.join(', ')}}`,
  ].filter(Boolean);
  const json = `{${body.join(', ')}}`.replace('"MP3"', '"AUDIO_ENCODING_MP3"');
  return [
    `curl --fail -sN ${url}/v1/text:synthesize \\`,
    ...(hasKey ? [`  -H "Authorization: Bearer $${KEY_VARIABLE}" \\`] : []),
    `  -d '${json.replaceAll("'", "'\\''")}' |`,
    '  grep -o \'"audio_content":"[^"]*\' | cut -d\'"\' -f4 |',
    '  while read -r piece; do echo "$piece" | base64 -d; done > speech.mp3',
  ].join('\n');
}

function openai(request: SpeakRequest, { url, hasKey }: SnippetContext): string {
  const seed = request.options?.seed;
  const extra = [
    request.languageCode && `"language": ${quoted(request.languageCode)}`,
    seed !== undefined && `"seed": ${seed}`,
  ].filter(Boolean);
  const fields = [
    `    model=${quoted(request.model ?? 'tts-1')},`,
    `    voice=${quoted(request.voice ?? 'alloy')},`,
    `    input=${quoted(request.text)},`,
    request.speakingRate !== undefined && `    speed=${request.speakingRate},`,
    extra.length > 0 && `    extra_body={${extra.join(', ')}},`,
  ].filter(Boolean);
  return [
    ...(hasKey ? ['import os'] : []),
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url=${quoted(`${url}/v1`)}, api_key=${hasKey ? `os.environ["${KEY_VARIABLE}"]` : '"none"'})`,
    'speech = client.audio.speech.create(',
    ...fields,
    ')',
    'speech.write_to_file("speech.mp3")',
  ].join('\n');
}
