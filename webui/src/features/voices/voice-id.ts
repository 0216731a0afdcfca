/** The ids of voices: 1 to 63 lower-case letters, digits and hyphens, first a letter, last no hyphen. */

const MOST = 63;

export function voiceIdOf(name: string): string {
  const plain = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, MOST)
    .replace(/-+$/, '');
  return plain || 'voice';
}

export function isVoiceId(id: string): boolean {
  return /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(id);
}
