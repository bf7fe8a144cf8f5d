// Builds the page into the crate that serves it. With `--check` nothing is written: what is there must be the same.

import { build } from 'esbuild';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const TARGET = here('../../crates/rpc/explorer');
const check = process.argv.includes('--check');

const { outputFiles } = await build({
  absWorkingDir: here('.'),
  entryPoints: { app: 'src/main.tsx', verify: 'src/worker.ts', wallet: 'src/evm/wallet.ts', style: 'src/style.css' },
  outdir: 'out',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  write: false,
});

const files = outputFiles.map(({ path, contents }) => [path.split('/').at(-1).replace('style.css', 'app.css'), Buffer.from(contents)]);
for (const name of ['index.html', 'icon.svg']) files.push([name, readFileSync(here(name))]);

// The node embeds them compressed; how well they compress may differ between versions of zlib.
let stale = 0;
mkdirSync(TARGET, { recursive: true });
for (const [name, contents] of files.sort()) {
  const path = `${TARGET}/${name}.gz`;
  const packed = gzipSync(contents, { level: 9 });
  console.log(`${name}: ${contents.length} bytes, ${packed.length} compressed`);
  let before;
  try {
    before = gunzipSync(readFileSync(path));
  } catch {
    // Not there, or not whole.
  }
  if (before?.equals(contents)) continue;
  stale += 1;
  if (check) console.log(`${path} is not what the sources make; run \`cargo xtask web\` with BATON_BLESS=1`);
  else writeFileSync(path, packed);
}
process.exitCode = check && stale > 0 ? 1 : 0;
