import { createRouterTransport } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { WatermarkService } from '../src/gen/chatterbox/v1/watermark_service_pb.js';
import { createChatterbox } from '../src/index.js';

test('a watermark is looked for', async () => {
  const transport = createRouterTransport(({ service }) => {
    service(WatermarkService, {
      detectWatermark: ({ audioContent }) => ({
        watermarked: audioContent.length === 3,
        score: 0.9,
        duration: { seconds: 2n },
      }),
    });
  });
  const { detectWatermark } = createChatterbox({ transport });
  const finding = { isWatermarked: true, score: 0.9, listenedMs: 2_000 };
  expect(await detectWatermark(Uint8Array.of(1, 2, 3))).toEqual(finding);
});
