// Pages by the part of the address after `#`, so that the node serves one document.

import { useEffect, useState } from 'preact/hooks';

export interface Route {
  /** `block`, and what follows it. */
  name: string;
  rest: string[];
  query: URLSearchParams;
  /** All of it, to tell one page from another. */
  path: string;
}

function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [name = '', ...rest] = path.split('/').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { name, rest, query: new URLSearchParams(query), path };
}

export function useRoute(): Route {
  const [route, set] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = () => set(parse(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}

export function go(path: string): void {
  location.hash = `#/${path}`;
}
