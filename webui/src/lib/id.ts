/** Ids that sort by time. `crypto.randomUUID` is not there on pages without HTTPS. */
export function newId(): string {
  const random = crypto.getRandomValues(new Uint32Array(2));
  const tail = Array.from(random, (word) => word.toString(36).padStart(7, '0')).join('');
  return `${Date.now().toString(36).padStart(9, '0')}-${tail}`;
}
