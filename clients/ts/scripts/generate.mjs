/**
 * Generates src/gen from protos/, or with --check fails if what is there differs.
 *
 * buf is taken from PATH or from the repository's Python environment; it needs no network.
 */

import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const GENERATED = join('src', 'gen'); // as buf.gen.yaml says
const PYTHON_SCRIPTS = join(PACKAGE, '..', '..', '.venv', 'bin');

/** Every generated file below `root`, by its path from there. */
async function contents(root) {
  const files = new Map();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(path.slice(root.length), await readFile(path, 'utf8'));
  }
  return files;
}

async function staleFiles(wanted, present) {
  const [want, have] = await Promise.all([contents(wanted), contents(present)]);
  const paths = new Set([...want.keys(), ...have.keys()]);
  return [...paths].filter((path) => want.get(path) !== have.get(path)).sort();
}

const output = await mkdtemp(join(tmpdir(), 'chatterbox-'));
try {
  execFileSync('buf', ['generate', '--output', output], {
    cwd: PACKAGE,
    env: { ...process.env, PATH: [process.env.PATH, PYTHON_SCRIPTS].join(delimiter) },
    stdio: 'inherit',
  });
  const [wanted, present] = [join(output, GENERATED), join(PACKAGE, GENERATED)];
  if (process.argv.includes('--check')) {
    const stale = await staleFiles(wanted, present);
    if (stale.length > 0) {
      console.error(`src/gen is not what protos/ generates; run make client-generate: ${stale}`);
      process.exitCode = 1;
    }
  } else {
    await rm(present, { recursive: true, force: true });
    await cp(wanted, present, { recursive: true });
  }
} finally {
  await rm(output, { recursive: true });
}
