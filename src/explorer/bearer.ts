/**
 * Bearer tokens of requests.
 * @module
 */

/** Whether a request carries the token. Takes as long for wrong ones, however much of them is right. */
export async function carries(request: Request, token: string): Promise<boolean> {
  const given = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (given === undefined) return false;
  const [one, other] = await Promise.all([digestOf(given), digestOf(token)]);
  let difference = 0;
  for (let index = 0; index < one.length; index++) difference |= one[index]! ^ other[index]!;
  return difference === 0;
}

async function digestOf(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
