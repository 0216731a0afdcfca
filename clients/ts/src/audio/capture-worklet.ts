/**
 * The audio thread's half of the microphone: hands over what it hears as mono blocks. The browser
 * loads this file by itself, so it imports nothing.
 */

const BLOCK_SAMPLES = 1_024; // 21 ms at 48 kHz: smooth for a level meter, few messages

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

/** Gathers blocks of one size from what comes in pieces. */
export class BlockGatherer {
  readonly #size: number;
  readonly #emit: (block: Float32Array<ArrayBuffer>) => void;
  #block: Float32Array<ArrayBuffer>;
  #filled = 0;

  constructor(size: number, emit: (block: Float32Array<ArrayBuffer>) => void) {
    this.#size = size;
    this.#emit = emit;
    this.#block = new Float32Array(size);
  }

  /** Adds one piece, the mean of its channels. */
  add(channels: readonly Float32Array[]): void {
    const length = channels[0]?.length ?? 0;
    for (let index = 0; index < length; index += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[index] ?? 0;
      this.#block[this.#filled] = sum / channels.length;
      this.#filled += 1;
      if (this.#filled === this.#size) this.#finish();
    }
  }

  #finish(): void {
    const block = this.#block;
    this.#block = new Float32Array(this.#size);
    this.#filled = 0;
    this.#emit(block);
  }
}

if (typeof registerProcessor === 'function') {
  registerProcessor(
    'chatterbox-capture',
    class extends AudioWorkletProcessor {
      readonly #gatherer = new BlockGatherer(BLOCK_SAMPLES, (block) => {
        this.port.postMessage(block, [block.buffer]);
      });
      #isOpen = true;

      constructor() {
        super();
        this.port.onmessage = (): void => {
          this.#isOpen = false; // the only message there is
        };
      }

      process([input]: Float32Array[][]): boolean {
        if (input !== undefined) this.#gatherer.add(input);
        return this.#isOpen;
      }
    },
  );
}
