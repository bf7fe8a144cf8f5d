// Numbers, times and bytes as people read them.

const GROUPED = new Intl.NumberFormat('en');
const FEW = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const grouped = (number: number): string => GROUPED.format(number);
export const few = (number: number): string => FEW.format(number);

export function bytes(count: number): string {
  if (count < 1_024) return `${count} B`;
  const [unit, size] = count < 1_048_576 ? ['KiB', 1_024] : ['MiB', 1_048_576];
  return `${few(count / size)} ${unit}`;
}

export function short(hex: string): string {
  return hex.length > 20 ? `${hex.slice(0, 10)}…${hex.slice(-6)}` : hex;
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });
const DAY = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' });

export const clock = (ms: number): string => CLOCK.format(ms);
export const dateTime = (ms: number): string => `${DAY.format(ms)}, ${clock(ms)}`;

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${few(ms / 1_000)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1_000)} s`;
  const hours = Math.floor(ms / 3_600_000);
  return hours < 48 ? `${hours} h ${Math.floor((ms % 3_600_000) / 60_000)} min` : `${Math.floor(hours / 24)} days`;
}

export function ago(ms: number, now: number): string {
  const since = now - ms;
  return since < 1_500 ? 'just now' : `${duration(Math.floor(since / 1_000) * 1_000)} ago`;
}

/** The payload as text, where it is text. */
export function asText(hex: string): string | undefined {
  const codes = hex.slice(2).match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? [];
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(codes));
    return /^[\P{C}\n\t]+$/u.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

export function hexOf(text: string): string {
  return [...new TextEncoder().encode(text)].reduce((hex, byte) => hex + byte.toString(16).padStart(2, '0'), '0x');
}
