// Amounts of an EVM rollup as people read them.

const GROUPED = new Intl.NumberFormat('en');
const PLACES_MAX = 6;

export const ETHER_DIGITS = 18;
const GWEI_DIGITS = 9;

/** In units of `digits` digits, cut after six places. */
function decimal(value: bigint, digits: number): string {
  const whole = value / 10n ** BigInt(digits);
  const part = (value % 10n ** BigInt(digits)).toString().padStart(digits, '0').slice(0, PLACES_MAX).replace(/0+$/, '');
  return GROUPED.format(whole) + (part === '' ? '' : `.${part}`);
}

export const gwei = (value: bigint): string => `${decimal(value, GWEI_DIGITS)} gwei`;

/** In the largest unit that shows something of it. */
export function amount(wei: bigint): string {
  if (wei === 0n) return '0';
  if (wei < 10n ** 3n) return `${wei} wei`;
  return wei < 10n ** 12n ? gwei(wei) : `${decimal(wei, ETHER_DIGITS)} ether`;
}

/** Wei of a decimal number of ether; undefined for what is none, or has too many places. */
export function weiOf(ether: string): bigint | undefined {
  const found = /^(\d{1,12})(?:\.(\d{1,18}))?$/.exec(ether.trim());
  if (!found) return undefined;
  return BigInt(found[1]!) * 10n ** BigInt(ETHER_DIGITS) + BigInt((found[2] ?? '').padEnd(ETHER_DIGITS, '0'));
}
