/** Sound that is still coming, kept from its beginning. */

import { joinSamples, type PcmStream } from '@chatterbox/client';

/** May be played while it grows, also by who comes late; who leaves does not end it. */
export class Tape implements PcmStream {
  readonly format: PcmStream['format'];
  readonly #blocks: Int16Array<ArrayBuffer>[] = [];
  #isComplete = false;
  #wake: (() => void)[] = [];

  constructor(format: PcmStream['format']) {
    this.format = format;
  }

  /** All of it so far. */
  joined(): Int16Array<ArrayBuffer> {
    return joinSamples(this.#blocks);
  }

  add(block: Int16Array<ArrayBuffer>): void {
    this.#blocks.push(block);
    this.#tell();
  }

  /** Nothing more will come. */
  end(): void {
    this.#isComplete = true;
    this.#tell();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Int16Array<ArrayBuffer>, void> {
    for (let index = 0; ; ) {
      const block = this.#blocks[index];
      if (block !== undefined) {
        index += 1;
        yield block;
      } else if (this.#isComplete) {
        return;
      } else {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    }
  }

  #tell(): void {
    const woken = this.#wake;
    this.#wake = [];
    for (const resolve of woken) resolve();
  }
}
