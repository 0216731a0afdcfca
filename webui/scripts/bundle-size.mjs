/** What the first visit of the Speak screen loads, gzipped; fails where that is more than the budget. */

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BUDGET_BYTES = 250_000;
const dist = new URL('../dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'));

/** All files that a chunk needs before it runs. */
function needed(key, files = new Set()) {
  const { file, imports = [], css = [], assets = [] } = manifest[key];
  if (files.has(file)) return files;
  for (const each of [file, ...css, ...assets]) files.add(each);
  for (const each of imports) needed(each, files);
  return files;
}

const first = new Set(['index.html', ...needed('index.html')]);
for (const each of needed('src/features/speak/speak-page.tsx')) first.add(each);
let total = 0;
for (const file of first) {
  const bytes = readFileSync(new URL(file, dist));
  // Typefaces are compressed already.
  const sent = file.endsWith('.woff2') ? bytes.length : gzipSync(bytes, { level: 9 }).length;
  total += sent;
  console.log(`${String(sent).padStart(8)}  ${file}`);
}
console.log(`${String(total).padStart(8)}  of ${BUDGET_BYTES} bytes for the first load`);
if (total > BUDGET_BYTES) process.exitCode = 1;
