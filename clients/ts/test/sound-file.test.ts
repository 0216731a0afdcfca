import { describe, expect, test, vi } from 'vitest';
import { AudioEncoding } from '../src/gen/chatterbox/v1/synthesis_pb.js';
import { createChatterbox } from '../src/index.js';
import { audio, sentence, serverOf, started, summary, warning } from './fake-server.js';

describe('a sound file', () => {
  test('is the bytes that the server sends, joined', async () => {
    const synthesize = vi.fn(async function* speak() {
      yield started(AudioEncoding.MP3);
      yield audio(Int16Array.of(0x0201, 0x0403));
      yield warning('PARAMETER_IGNORED');
      yield audio(Int16Array.of(0x0605));
      yield summary();
    });
    const chatterbox = createChatterbox({ transport: serverOf({ synthesize }) });
    const file = await chatterbox.render('Hello', 'mp3');
    expect(file).toMatchObject({
      bytes: Uint8Array.of(1, 2, 3, 4, 5, 6),
      mediaType: 'audio/mpeg',
      summary: { audioMs: 2_250 },
      warnings: [{ code: 'PARAMETER_IGNORED' }],
    });
    expect(synthesize.mock.calls[0]?.slice(0, 1)).toMatchObject([
      { audioConfig: { audioEncoding: AudioEncoding.MP3 } },
    ]);
  });

  test('of WAV tells its length, which the server cannot know', async () => {
    const chatterbox = createChatterbox({ transport: serverOf({ synthesize: sentence }) });
    const { bytes } = await chatterbox.render('Hello', 'wav');
    expect(new DataView(bytes.buffer).getUint32(40, true)).toBe(10);
    expect(bytes).toEqual(await chatterbox.speak('Hello').toWav());
  });

  test('is refused in a format that there is not', async () => {
    const chatterbox = createChatterbox({ transport: serverOf({ synthesize: sentence }) });
    const rendered = chatterbox.render('Hello', 'aiff' as 'wav');
    await expect(rendered).rejects.toMatchObject({ kind: 'invalid', field: 'format' });
    const sent = chatterbox.render('Hello', 'flac'); // and gets PCM
    await expect(sent).rejects.toMatchObject({ kind: 'internal' });
  });

  test('is not made when it is not wanted any more', async () => {
    const chatterbox = createChatterbox({ transport: serverOf({ synthesize: sentence }) });
    const signal = AbortSignal.abort();
    const rendered = chatterbox.render('Hello', 'wav', { signal });
    await expect(rendered).rejects.toMatchObject({ kind: 'cancelled' });
  });
});
