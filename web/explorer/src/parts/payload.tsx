// Bytes of a transaction: as text where they are text. They are never anything but text to the page.

import { asText, bytes } from '../format';
import { Copy } from './common';

const BRIEF = 60;
const WHOLE = 4_096;

export function Payload({ hex, brief = false }: { hex: string; brief?: boolean }) {
  const size = (hex.length - 2) / 2;
  const max = brief ? BRIEF : WHOLE;
  const text = asText(hex.slice(0, 2 + 2 * max)) ?? hex.slice(0, 2 + 2 * max);
  const shown = size > max ? `${text}…` : text;
  if (brief) return <code class="payload-brief">{shown}</code>;
  return (
    <div class="payload">
      <pre tabIndex={0} aria-label="Payload">
        {shown}
      </pre>
      <p class="payload-size">
        {bytes(size)} <Copy value={hex} label="Copy payload" />
      </p>
    </div>
  );
}
