// What tests do with a page of the explorer.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A page of the explorer; every request that it makes and every complaint of the browser is noted. */
export async function open(browser, url, path = '', options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const seen = { requests: [], complaints: [] };
  page.on('request', (request) => seen.requests.push(request.url()));
  page.on('console', (message) => message.type() === 'error' && seen.complaints.push(message.text()));
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  await page.goto(`${url}/#/${path}`);
  return { page, seen, close: () => context.close() };
}

export const go = (page, path) => page.evaluate((hash) => (location.hash = hash), `#/${path}`);

/** Goes through pages by path, title and what has to be there: each fits the width, and is accessible. */
export async function stand(page, pages, on) {
  await page.evaluate(AXE);
  for (const [path, title, landmark] of pages) {
    await go(page, path);
    await page.waitForSelector(`h1:text-is("${title}")`);
    await page.waitForSelector(landmark);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${path} on a ${on} is ${wide} px too wide`);
    const { violations } = await page.evaluate(() => axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
    const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
    assert.deepEqual(told, [], `${path} on a ${on}`);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${on}-${path.slice(0, 14).replace(/\W/g, '-') || 'overview'}.png`, fullPage: true });
  }
}

/** Requests to the API of a node. */
const api = (url) => (address) => address.href.startsWith(url) && (address.pathname === '/' || address.pathname.startsWith('/rollup/'));

/** Answers `method` with what `change` makes of the node's own answer. */
export async function lie(page, url, method, change) {
  await page.route(api(url), async (route) => {
    const asked = route.request().postDataJSON?.();
    if (asked?.method !== method) return route.continue();
    const response = await route.fetch();
    const answer = await response.json();
    return route.fulfill({ response, json: { ...answer, result: change(answer.result) } });
  });
}

export const flip = (hex, at = 12) => hex.slice(0, at) + (Number.parseInt(hex[at], 16) ^ 1).toString(16) + hex.slice(at + 1);

/** Each field of an answer, to be changed by itself; nested ones too. */
export function* lies(value, path = []) {
  for (const [field, item] of Object.entries(value)) {
    const at = [...path, field];
    if (item !== null && typeof item === 'object') yield* lies(item, at);
    else yield at;
  }
}

export function changed(value, [field, ...rest]) {
  const copy = Array.isArray(value) ? [...value] : { ...value };
  const item = copy[field];
  if (rest.length > 0) copy[field] = changed(item, rest);
  else if (typeof item === 'number') copy[field] = item + 1;
  else if (typeof item === 'string' && /^0x.{8}/.test(item)) copy[field] = flip(item, item.length - 1);
  else copy[field] = `${item ?? ''}x`;
  return copy;
}
