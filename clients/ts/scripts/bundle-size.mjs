/** Bundles the browser entry with all it needs, as a web page would, and tells how large it is. */

import { gzipSync } from 'node:zlib';
import { bundle } from './bundle.mjs';

for (const { name, source } of await bundle()) {
  const gzipped = gzipSync(source, { level: 9 }).length;
  console.log(`${name}: ${source.length} bytes, ${gzipped} gzipped`);
}
