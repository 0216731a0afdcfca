/** The content of files. */

/** A file, or its bytes. */
export type FileBytes = Blob | Uint8Array;

/** A copy of the bytes. */
export async function bytesOf(file: FileBytes): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(file instanceof Blob ? await file.arrayBuffer() : file);
}

/** Pieces one after the other. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    joined.set(piece, offset);
    offset += piece.length;
  }
  return joined;
}
