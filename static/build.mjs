/**
 * Bundles the pages' scripts and styles into `built/`, with a brotli twin of each file, the licences of what is
 * bundled, and a manifest that build.rs turns into a table of the binary.
 *
 * `player.js` shows the first frame, and `library.js`, loaded after it, plays on; the interface is a bundle of its own.
 * `refused.js` is for the page that says why nothing plays, and shares no file with them; `screener-player.js` is for
 * pages of others.
 */

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { build } from 'esbuild';

const OUT = 'built';
const TYPES = { '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.txt': 'text/plain; charset=utf-8' };

fs.rmSync(OUT, { recursive: true, force: true });

/**
 * Our segments are fragmented MP4 and nothing else: without the readers of other containers hls.js is an eighth
 * smaller. A release that looks otherwise stops the build here.
 */
const OTHER_CONTAINERS = [
  [/^(const muxConfig = \[\{\n  demux: MP4Demuxer,\n  remux: PassThroughRemuxer\n\})(?:, \{\n  demux: \w+,\n  remux: MP4Remuxer\n\}){3}\];$/m, '$1];'],
  [/TSDemuxer\.probe\(initSegmentData, this\.logger\)/, 'false'],
];
const fragmentedMp4Alone = {
  name: 'fragmented MP4 alone',
  setup({ onLoad }) {
    onLoad({ filter: /hls\.light\.mjs$/ }, ({ path }) => {
      const text = fs.readFileSync(path, 'utf8');
      const contents = OTHER_CONTAINERS.reduce((changed, [pattern, replacement]) => {
        if (!pattern.test(changed)) throw new Error(`${path} has changed: ${pattern} is not in it`);
        return changed.replace(pattern, replacement);
      }, text);
      return { contents, loader: 'js' };
    });
  },
};
const CHANGES = { 'hls.js': 'Changed here: the readers of containers other than fragmented MP4 are left out.' };

const shared = {
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022', 'chrome111', 'firefox114', 'safari16.4'],
  outdir: OUT,
  metafile: true,
  plugins: [fragmentedMp4Alone],
  legalComments: 'linked',
  logLevel: 'warning',
};
const styles = ['player', 'interface'].filter((name) => fs.existsSync(`player/${name}.css`));
/** What is loaded later is a bundle of its own: a file shared with it would be one request more before the first frame. */
const laterApart = {
  name: 'later apart',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/(interface|blocked|library)$/ }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path: `${path}.js`, external: true } : undefined,
    );
  },
};
const results = [
  await build({
    ...shared,
    plugins: [...shared.plugins, laterApart],
    entryPoints: [{ in: 'player/main.ts', out: 'player' }, ...styles.map((name) => ({ in: `player/${name}.css`, out: name }))],
  }),
  await build({
    ...shared,
    splitting: true,
    chunkNames: '[name]-[hash]',
    entryPoints: [
      { in: 'player/library.ts', out: 'library' },
      { in: 'player/interface.ts', out: 'interface' },
      { in: 'player/blocked.ts', out: 'blocked' },
    ],
  }),
  await build({
    ...shared,
    splitting: true,
    chunkNames: 'refused-[name]-[hash]',
    entryPoints: [{ in: 'player/refused.ts', out: 'refused' }],
  }),
  await build({
    ...shared,
    loader: { '.svg': 'copy' },
    entryPoints: ['dashboard.ts', 'upload.ts', 'dashboard.css', 'icon.svg'].map((name) => `dashboard/${name}`),
  }),
  // For pages of others: one file, no imports.
  await build({ ...shared, entryPoints: [{ in: 'wrapper/screener-player.ts', out: 'screener-player' }] }),
];

fs.writeFileSync(path.join(OUT, 'licences.txt'), licences(results));

const names = fs.readdirSync(OUT).sort();
const lines = names.map((name) => {
  const bytes = fs.readFileSync(path.join(OUT, name));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  fs.writeFileSync(path.join(OUT, `${name}.br`), brotliCompressSync(bytes, { params }));
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
  return `${name}\t${TYPES[path.extname(name)]}\t${hash}\n`;
});
fs.writeFileSync(path.join(OUT, 'manifest'), lines.join(''));

/** What others wrote and we ship: name, version, licence and its text, for each package that left code in a bundle. */
function licences(results) {
  const inputs = results.flatMap(({ metafile }) => Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs)));
  const used = inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([input]) => input);
  const packages = new Set(used.flatMap((input) => /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.slice(1) ?? []));
  const entries = [...packages].sort().map((name) => {
    const directory = path.join('node_modules', name);
    const { version, license, author, homepage } = JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'));
    const file = fs.readdirSync(directory).find((found) => /^(licen[cs]e|copying)(\.|$)/i.test(found));
    const by = typeof author === 'string' ? author : author?.name;
    const text = file
      ? fs.readFileSync(path.join(directory, file), 'utf8').trim()
      : `The package has no licence text of its own. It is${by ? ` by ${by},` : ''} under the licence ${license}: https://spdx.org/licenses/${license}.html`;
    return `${name} ${version}\nLicence: ${license}\n${CHANGES[name] ? `${CHANGES[name]}\n` : ''}${homepage ? `${homepage}\n` : ''}\n${text}\n`;
  });
  const rule = `\n${'-'.repeat(80)}\n\n`;
  return `The pages of this server contain work of others, under these licences.\n${rule}${entries.join(rule)}`;
}
