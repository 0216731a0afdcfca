/** Lights words without changing the page: by CSS Custom Highlights, which `theme.css` colours. */

/** What was heard before, and what is heard now. */
const HEARD = 'heard';
const NOW = 'heard-now';

/** Of a box that has more of them. */
export const LINES_IN_VIEW = 4;

const canLight = typeof Highlight !== 'undefined';

/** A text is heard as far as `start`, and just now from there to `end`. */
export function light(text: Text, start: number, end: number): void {
  if (!canLight) return;
  CSS.highlights.set(HEARD, new Highlight(rangeOf(text, 0, start)));
  CSS.highlights.set(NOW, new Highlight(rangeOf(text, start, end)));
}

export function darken(): void {
  if (!canLight) return;
  CSS.highlights.delete(HEARD);
  CSS.highlights.delete(NOW);
}

/** Scrolls nothing but `box`, by whole lines, and only if the place is out of sight. */
export function bringIntoView(box: HTMLElement, text: Text, start: number, end: number): void {
  const line = rangeOf(text, start, Math.max(end, start + 1)).getBoundingClientRect();
  const { top, bottom, height } = box.getBoundingClientRect();
  if (line.top >= top && line.bottom <= bottom) return;
  const middle = (line.top + line.bottom) / 2;
  box.scrollTop += middle - top - (1.5 / LINES_IN_VIEW) * height; // into the second line
}

function rangeOf(text: Text, start: number, end: number): Range {
  const range = new Range();
  range.setStart(text, Math.min(start, text.length));
  range.setEnd(text, Math.min(end, text.length));
  return range;
}
