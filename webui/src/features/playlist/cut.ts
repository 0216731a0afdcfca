/** Long texts into takes: at paragraphs and sentences, and inside a sentence only where it is too long. */

/** A paragraph shorter than this joins the next: models stumble over a lone word. */
const LEAST_CHARACTERS = 24;

export function cut(text: string, mostCharacters: number): string[] {
  const takes: string[] = [];
  let open = '';
  for (const paragraph of text.split(/\n\s*\n|\n/)) {
    for (const sentence of sentencesOf(paragraph.trim())) {
      for (const piece of piecesOf(sentence, mostCharacters)) {
        if (open !== '' && open.length + 1 + piece.length > mostCharacters) {
          takes.push(open);
          open = piece;
        } else {
          open = open === '' ? piece : `${open} ${piece}`;
        }
      }
    }
    if (open.length >= LEAST_CHARACTERS) {
      takes.push(open);
      open = '';
    }
  }
  if (open !== '') takes.push(open);
  return takes;
}

function sentencesOf(paragraph: string): string[] {
  if (paragraph === '') return [];
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'sentence' });
  return Array.from(segmenter.segment(paragraph), ({ segment }) => segment.trim()).filter(Boolean);
}

/** A sentence as it is; one that is too long at its last clause, else its last space, that fits. */
function piecesOf(sentence: string, most: number): string[] {
  const pieces: string[] = [];
  let rest = sentence;
  while (rest.length > most) {
    const head = rest.slice(0, most);
    const clause = Math.max(...[',', ';', ':', '—', '–'].map((mark) => head.lastIndexOf(mark))) + 1;
    const space = head.lastIndexOf(' ');
    const end = clause > most / 3 ? clause : space > 0 ? space : wholeCharacters(head);
    pieces.push(rest.slice(0, end).trim());
    rest = rest.slice(end).trim();
  }
  if (rest !== '') pieces.push(rest);
  return pieces;
}

/** A cut between two halves of one character would spoil it. */
function wholeCharacters(head: string): number {
  const last = head.charCodeAt(head.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? head.length - 1 : head.length;
}
