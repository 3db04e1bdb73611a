/**
 * ULIDs, which sorted tables are named by: 128 bits in 26 characters of Crockford's base 32.
 * @module
 */
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The text of an identifier from its two halves. */
export function ulidText(high: bigint, low: bigint): string {
  let rest = high << 64n | low;
  let text = "";
  for (let i = 0; i < 26; i++) {
    text = DIGITS[Number(rest & 31n)]! + text;
    rest >>= 5n;
  }
  return text;
}
