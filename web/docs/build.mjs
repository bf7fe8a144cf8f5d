// The documentation as a site: every Markdown page of the repository, and the API's reference from its OpenRPC
// document. Links between pages lead to pages; a link or picture that leads nowhere fails the build. Written to
// target/docs.

import { Marked } from 'marked';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TARGET = join(ROOT, 'target/docs');

const markdown = (folder) => readdirSync(join(ROOT, folder)).filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`);

/** A heading's name in links, as GitHub makes it. */
const slug = (title) => title.replace(/<[^>]*>|[*_`]{1,2}(?=\S)|(?<=\S)[*_`]{1,2}/g, '').toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');

/** In the order of the menu. Specs by their numbers. */
const SECTIONS = [
  ['Baton', ['README.md', 'docs/baton.md', 'docs/explorer.md', 'CHANGELOG.md']],
  ['Learn', ['first-rollup', 'wallet', 'verify', 'kill-a-node', 'force-a-transaction'].map((name) => `docs/tutorials/${name}.md`)],
  ['Use', ['docs/api.md', 'docs/reference.md', 'web/light-client/README.md']],
  ['Operate', ['docs/operating.md', 'docs/settlement.md', 'docs/reliability.md', 'docs/benchmarks.md', 'SECURITY.md']],
  ['Protocol', ['specs/README.md', ...markdown('specs').filter((path) => /\/\d/.test(path)).sort((one, other) => Number.parseInt(one.slice(6), 10) - Number.parseInt(other.slice(6), 10))]],
  ['Build', ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/README.md']],
];

const GENERATED = { 'docs/reference.md': reference() };

const read = (path) => GENERATED[path] ?? readFileSync(join(ROOT, path), 'utf8');
const pages = new Map(SECTIONS.flatMap(([, paths]) => paths).map((path) => [path, { text: read(path), html: path === 'README.md' ? 'index.html' : path.replace(/\.md$/, '.html') }]));

const titleOf = ({ text }) => /^# (.+)$/m.exec(text)?.[1] ?? 'Baton';
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

for (const page of pages.values()) page.anchors = new Set([...page.text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm)].map(([, title]) => slug(title)));

const problems = [];
const pictures = new Set();

/** What a link or picture in the file `from` means, from the root. */
const pathOf = (from, href) => posix.join(posix.dirname(from), href);

/** Where a link on the page `from` leads on the site; what has no page is left as a path of the repository. */
function follow(from, href) {
  if (/^[a-z]+:/.test(href)) return href;
  const [file, anchor] = href.split('#');
  const path = file === '' ? from : pathOf(from, file);
  const page = pages.get(path);
  if (page === undefined) {
    if (path.endsWith('.md') || path.startsWith('..') || !existsSync(join(ROOT, path))) problems.push(`${from}: ${href} leads nowhere`);
    return null;
  }
  if (anchor && !page.anchors.has(anchor)) problems.push(`${from}: ${href} has no such heading`);
  return posix.relative(posix.dirname(pages.get(from).html), page.html) + (anchor ? `#${anchor}` : '');
}

function render(from, text) {
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth }) {
        const title = this.parser.parseInline(tokens);
        return `<h${depth} id="${slug(title)}">${title}</h${depth}>\n`;
      },
      link({ href, tokens }) {
        const target = follow(from, href);
        const inner = this.parser.parseInline(tokens);
        return target === null ? `<code>${inner.replace(/<\/?code>/g, '')}</code>` : `<a href="${escape(target)}">${inner}</a>`;
      },
      image({ href, text: words }) {
        const path = pathOf(from, href);
        if (existsSync(join(ROOT, path))) pictures.add(path);
        else problems.push(`${from}: there is no picture ${href}`);
        return `<img src="${escape(href)}" alt="${escape(words)}">`;
      },
      code({ text: code, lang }) {
        return `<pre tabindex="0"><code${lang ? ` class="language-${escape(lang)}"` : ''}>${escape(code)}</code></pre>\n`;
      },
      html: ({ text: raw }) => escape(raw),
    },
  });
  return marked.parse(text).replaceAll('<table>', '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>').replaceAll('</table>', '</table></div>');
}

/** Methods and types of the API, as a page in Markdown. */
function reference() {
  const { info, methods, components } = JSON.parse(readFileSync(join(ROOT, 'docs/openrpc.json'), 'utf8'));
  const cell = (text) => (text ?? '').replaceAll('\n', ' ').replaceAll('|', '\\|');
  const named = (schema) => `[${schema.$ref.split('/').at(-1)}](#${slug(schema.$ref.split('/').at(-1))})`;
  const type = (schema) => {
    if (schema === true || schema === undefined) return 'any';
    if (schema.$ref) return named(schema);
    const options = schema.anyOf ?? schema.oneOf;
    if (options) return options.map(type).join(' or ');
    if (schema.allOf) return schema.allOf.map(type).join(' and ');
    if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(', ');
    if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
    if (schema.type === 'array') return `list of ${type(schema.items)}`;
    if (schema.properties) return `{ ${Object.entries(schema.properties).map(([name, of]) => `${name}: ${type(of)}`).join(', ')} }`;
    return [schema.type ?? 'any'].flat().join(' or ');
  };
  const fields = (schema) => {
    const rows = Object.entries(schema.properties ?? {}).map(([name, of]) => `| \`${name}\`${schema.required?.includes(name) ? '' : ' (optional)'} | ${cell(type(of))} | ${cell(of.description)} |`);
    return rows.length > 0 ? ['| field | type | meaning |', '|---|---|---|', ...rows].join('\n') : type(schema);
  };
  const method = ({ name, summary, params, result }) => {
    const rows = params.map(({ name: param, required, schema }) => `| \`${param}\`${required ? '' : ' (optional)'} | ${cell(type(schema))} | ${cell(schema.description)} |`);
    const table = rows.length > 0 ? ['| parameter | type | meaning |', '|---|---|---|', ...rows].join('\n') : 'No parameters.';
    return `### ${name}\n\n${summary}\n\n${table}\n\nResult: ${type(result.schema)}\n`;
  };
  const schema = ([name, of]) => `### ${name}\n\n${of.description ?? ''}\n\n${fields(of)}\n`;
  return `# API reference\n\n${info.description}\n\nHow to use it: [API](api.md).\n\n## Methods\n\n${methods.map(method).join('\n')}\n## Types\n\n${Object.entries(components.schemas).map(schema).join('\n')}`;
}

function whole(path, page) {
  const up = posix.relative(posix.dirname(page.html), '.') || '.';
  const menu = SECTIONS.map(([title, paths]) => {
    const items = paths.map((other) => {
      const target = posix.relative(posix.dirname(page.html), pages.get(other).html);
      return `<li><a href="${target}"${other === path ? ' aria-current="page"' : ''}>${escape(titleOf(pages.get(other)))}</a></li>`;
    });
    return `<h2>${title}</h2><ul>${items.join('')}</ul>`;
  });
  const title = titleOf(page);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}${title === 'Baton' ? '' : ' · Baton'}</title>
<link rel="icon" href="${up}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${up}/docs.css">
</head>
<body>
<nav class="side" aria-label="Pages">${menu.join('')}</nav>
<main>
${render(path, page.text)}
</main>
</body>
</html>
`;
}

for (const [path, page] of pages) {
  const target = join(TARGET, page.html);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, whole(path, page));
}
for (const path of pictures) copyFileSync(join(ROOT, path), join(TARGET, path));
writeFileSync(join(TARGET, 'docs.css'), readFileSync(new URL('docs.css', import.meta.url)));
writeFileSync(join(TARGET, 'icon.svg'), readFileSync(new URL('../explorer/icon.svg', import.meta.url)));

for (const problem of problems) console.log(problem);
console.log(`${pages.size} pages in target/docs`);
process.exitCode = problems.length > 0 ? 1 : 0;
