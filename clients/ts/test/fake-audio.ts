/** An audio context without a sound card: time passes when a test says so. */

import { type PlayerCommand, Playout } from '../src/audio/pcm-worklet.js';

const QUANTUM = 128;

/** Plays through the real playout, so that only the card and the thread are missing. */
class FakeWorkletNode {
  readonly port = {
    onmessage: undefined as ((event: { data: unknown }) => void) | undefined,
    postMessage: (command: PlayerCommand): void => this.playout.handle(command),
  };
  readonly playout: Playout;

  constructor(context: FakeAudioContext) {
    this.playout = new Playout(context.sampleRate);
    context.nodes.push(this);
  }

  connect<Node>(next: Node): Node {
    return next;
  }

  disconnect(): void {}
}

export class FakeAudioContext extends EventTarget {
  readonly sampleRate: number;
  readonly nodes: FakeWorkletNode[] = [];
  readonly heard: number[] = [];
  readonly destination = {};
  readonly outputLatency = 0;
  readonly audioWorklet = { addModule: async (): Promise<void> => undefined };
  state: AudioContextState = 'suspended';
  currentTime = 0;

  constructor({ sampleRate = 48_000 }: { sampleRate?: number } = {}) {
    super();
    this.sampleRate = sampleRate;
  }

  async resume(): Promise<void> {
    this.state = 'running';
    this.dispatchEvent(new Event('statechange'));
  }

  async close(): Promise<void> {
    this.state = 'closed';
  }

  createAnalyser(): unknown {
    return this.#passing();
  }

  createGain(): unknown {
    return { ...this.#passing(), gain: { value: 1, setTargetAtTime: () => undefined } };
  }

  /** Let the sound card play for a while. */
  pass(milliseconds: number): void {
    const quanta = Math.round((milliseconds / 1_000) * (this.sampleRate / QUANTUM));
    for (let count = 0; count < quanta; count += 1) {
      for (const { playout, port } of this.nodes) {
        const output = new Float32Array(QUANTUM);
        playout.render(output);
        this.heard.push(...output);
        this.currentTime += QUANTUM / this.sampleRate;
        port.onmessage?.({ data: playout.report(this.currentTime) });
      }
    }
  }

  #passing() {
    return { connect: <Node>(next: Node): Node => next, disconnect: (): void => undefined };
  }
}

/** Puts both where the player looks for them. */
export const fakeGlobals = {
  AudioContext: FakeAudioContext,
  AudioWorkletNode: FakeWorkletNode,
};
