/** The inaudible mark in synthetic speech. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import { durationMs } from './duration.js';
import { bytesOf, type FileBytes } from './file-bytes.js';
import { WatermarkService } from './gen/chatterbox/v1/watermark_service_pb.js';

const TIMEOUT_MS = 60_000; // two minutes of sound are listened to

/** What was found in a recording. */
export interface WatermarkFinding {
  readonly isWatermarked: boolean;
  /** How sure that is, 0 (surely not) to 1. */
  readonly score: number;
  /** How much of the recording was listened to. */
  readonly listenedMs: number;
}

export function createDetectWatermark(transport: Transport, caller: Caller) {
  const client = createClient(WatermarkService, transport);
  return async (recording: FileBytes, options?: CallOptions): Promise<WatermarkFinding> => {
    const request = { audioContent: await bytesOf(recording) };
    const call = { timeoutMs: TIMEOUT_MS, ...options };
    const found = await caller.ask((connect) => client.detectWatermark(request, connect), call);
    const { watermarked, score, duration } = found;
    return { isWatermarked: watermarked, score, listenedMs: durationMs(duration) };
  };
}
