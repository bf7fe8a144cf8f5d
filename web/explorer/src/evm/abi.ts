// Calls and events that many contracts share, decoded by Ethereum's ABI; everything else stays bytes.

/** By selector. A test computes each from its name. */
export const FUNCTIONS: Record<string, string> = {
  '0x06fdde03': 'name()',
  '0x95d89b41': 'symbol()',
  '0x313ce567': 'decimals()',
  '0x18160ddd': 'totalSupply()',
  '0x70a08231': 'balanceOf(address owner)',
  '0xdd62ed3e': 'allowance(address owner, address spender)',
  '0xa9059cbb': 'transfer(address to, uint256 value)',
  '0x23b872dd': 'transferFrom(address from, address to, uint256 value)',
  '0x095ea7b3': 'approve(address spender, uint256 value)',
  '0x39509351': 'increaseAllowance(address spender, uint256 value)',
  '0xa457c2d7': 'decreaseAllowance(address spender, uint256 value)',
  '0xd505accf': 'permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)',
  '0x40c10f19': 'mint(address to, uint256 value)',
  '0x42966c68': 'burn(uint256 value)',
  '0xd0e30db0': 'deposit()',
  '0x2e1a7d4d': 'withdraw(uint256 value)',
  '0x6352211e': 'ownerOf(uint256 id)',
  '0xc87b56dd': 'tokenURI(uint256 id)',
  '0x081812fc': 'getApproved(uint256 id)',
  '0xe985e9c5': 'isApprovedForAll(address owner, address operator)',
  '0xa22cb465': 'setApprovalForAll(address operator, bool approved)',
  '0x42842e0e': 'safeTransferFrom(address from, address to, uint256 id)',
  '0xb88d4fde': 'safeTransferFrom(address from, address to, uint256 id, bytes data)',
  '0xf242432a': 'safeTransferFrom(address from, address to, uint256 id, uint256 value, bytes data)',
  '0x2eb2c2d6': 'safeBatchTransferFrom(address from, address to, uint256[] ids, uint256[] values, bytes data)',
  '0xac9650d8': 'multicall(bytes[] calls)',
  '0xf2fde38b': 'transferOwnership(address owner)',
  '0x715018a6': 'renounceOwnership()',
};

/** By the first topic. The parameters that are indexed come first. */
export const EVENTS: Record<string, string> = {
  '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef': 'Transfer(address from, address to, uint256 value)',
  '0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925': 'Approval(address owner, address spender, uint256 value)',
  '0x17307eab39ab6107e8899845ad3d59bd9653f200f220920489ca2b5937696c31': 'ApprovalForAll(address owner, address operator, bool approved)',
  '0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62': 'TransferSingle(address operator, address from, address to, uint256 id, uint256 value)',
  '0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb': 'TransferBatch(address operator, address from, address to, uint256[] ids, uint256[] values)',
  '0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c': 'Deposit(address to, uint256 value)',
  '0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65': 'Withdrawal(address from, uint256 value)',
  '0x8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0': 'OwnershipTransferred(address from, address to)',
};

export const TRANSFER = Object.keys(EVENTS)[0]!;

export type Value = string | bigint | boolean | Value[];

export interface Argument {
  name: string;
  type: string;
  value: Value;
}

export interface Decoded {
  name: string;
  arguments: Argument[];
}

const WORD = 64;

interface Parameter {
  type: string;
  name: string;
}

/** `transfer(address to, uint256 value)` in its parts. */
export function parse(signature: string): { name: string; parameters: Parameter[] } {
  const [name = '', rest = ''] = signature.slice(0, -1).split('(');
  const parameters = rest.split(', ').filter(Boolean).map((parameter) => {
    const [type = '', called = ''] = parameter.split(' ');
    return { type, name: called };
  });
  return { name, parameters };
}

/** Reads words of hex digits; throws where there are none. */
class Words {
  constructor(private readonly digits: string) {}

  at(digit: number, length = WORD): string {
    const found = this.digits.slice(digit, digit + length);
    if (found.length < length) throw new RangeError('too short');
    return found;
  }

  number(digit: number): number {
    const value = BigInt(`0x${this.at(digit)}`);
    if (value > BigInt(this.digits.length)) throw new RangeError('outside');
    return Number(value);
  }

  from(digit: number): Words {
    return new Words(this.digits.slice(digit));
  }
}

const isDynamic = (type: string): boolean => /^(bytes|string)$|\[\]$/.test(type);

function single(type: string, word: string): Value {
  if (type === 'address') return `0x${word.slice(24)}`;
  if (type === 'bool') return BigInt(`0x${word}`) !== 0n;
  if (type.startsWith('uint')) return BigInt(`0x${word}`);
  if (type.startsWith('int')) return BigInt.asIntN(256, BigInt(`0x${word}`));
  const size = Number(type.slice('bytes'.length));
  return `0x${word.slice(0, 2 * size)}`;
}

function text(digits: string): string {
  const bytes = Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  return new TextDecoder().decode(bytes);
}

/** What stands at the place that a dynamic value's word names. */
function tail(type: string, words: Words): Value {
  const count = words.number(0);
  if (type.endsWith('[]')) {
    const of = type.slice(0, -2);
    return decode(Array.from({ length: count }, () => of), words.from(WORD));
  }
  const digits = words.at(WORD, 2 * count);
  return type === 'string' ? text(digits) : `0x${digits}`;
}

function decode(types: string[], words: Words): Value[] {
  return types.map((type, at) => {
    const place = at * WORD;
    return isDynamic(type) ? tail(type, words.from(2 * words.number(place))) : single(type, words.at(place));
  });
}

function named(signature: string, indexed: string[], data: string): Decoded | undefined {
  const { name, parameters } = parse(signature);
  try {
    const first = parameters.slice(0, indexed.length).map(({ type }, at) => (isDynamic(type) ? indexed[at]! : single(type, indexed[at]!.slice(2))));
    const rest = decode(parameters.slice(indexed.length).map(({ type }) => type), new Words(data));
    const values = [...first, ...rest];
    return { name, arguments: parameters.map((parameter, at) => ({ ...parameter, value: values[at]! })) };
  } catch {
    // Another function that has the same selector, or bytes that are none of its arguments.
    return undefined;
  }
}

/** A call as it reads, where its function is known. */
export function decodeCall(input: string): Decoded | undefined {
  const signature = FUNCTIONS[input.slice(0, 10)];
  return signature === undefined ? undefined : named(signature, [], input.slice(10));
}

export function decodeLog(topics: string[], data: string): Decoded | undefined {
  const signature = EVENTS[topics[0] ?? ''];
  if (signature === undefined || topics.length - 1 > parse(signature).parameters.length) return undefined;
  return named(signature, topics.slice(1), data.slice(2));
}
