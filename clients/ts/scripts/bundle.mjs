/** The browser entry as Vite bundles it for a page: nothing left out, nothing left outside. */

import { fileURLToPath } from 'node:url';
import { build } from 'vite';

/** The files, each with its name and bytes. Needs `npm run build` before. */
export async function bundle() {
  const entry = fileURLToPath(new URL('../dist/index.js', import.meta.url));
  const { output } = await build({
    configFile: false,
    logLevel: 'warn',
    root: fileURLToPath(new URL('..', import.meta.url)),
    build: {
      write: false,
      modulePreload: false,
      rolldownOptions: { input: { client: entry }, preserveEntrySignatures: 'strict' },
    },
  });
  return output.map((file) => ({
    name: file.fileName,
    source: Buffer.from(file.type === 'chunk' ? file.code : file.source),
  }));
}
