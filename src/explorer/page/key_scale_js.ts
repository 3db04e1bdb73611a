/**
 * Where the keys of a shard lie among all keys, as a bar.
 * @module
 */

/** Served at `/ui/key_scale.js`. */
export const keyScaleJs: string = String.raw`import { svg } from "./dom.js";

const WIDTH = 120;

// Gives a function that draws a range. Numbers by value; texts by their first letters behind what all have in common.
export function keyScale(shards) {
  const full = shards.filter((shard) => shard.minKey !== null);
  const all = full.flatMap((shard) => [shard.minKey, shard.maxKey]);
  const areNumbers = all.length > 0 && all.every((key) => /^\d{1,20}$/.test(key));
  const common = areNumbers ? 0 : commonLength(all);
  const place = areNumbers ? Number : (key) => fraction(key.slice(common));
  const places = all.map(place);
  const low = places.reduce((least, value) => Math.min(least, value), Infinity);
  const high = places.reduce((most, value) => Math.max(most, value), -Infinity);
  const isSpread = full.every(({ minKey, maxKey }) => place(maxKey) - place(minKey) > 0.8 * (high - low));
  // Where every shard has keys of the whole range, as with hashes, there is nothing to be seen.
  if (isSpread) return () => null;
  const x = (key) => high > low ? (place(key) - low) / (high - low) * WIDTH : 0;
  return (minKey, maxKey) => {
    const [from, to] = [x(minKey), x(maxKey)];
    return svg(
      "svg",
      { class: "extent", viewBox: "0 0 " + WIDTH + " 6", "aria-hidden": "true", preserveAspectRatio: "none" },
      svg("rect", { class: "rail", x: 0, y: 2, width: WIDTH, height: 2 }),
      svg("rect", { class: "span", x: Math.min(from, WIDTH - 1), y: 1, width: Math.max(1, to - from), height: 4 }),
    );
  };
}

function commonLength(keys) {
  let length = 0;
  while (keys.length > 0 && length < keys[0].length && keys.every((key) => key[length] === keys[0][length])) length++;
  return length;
}

function fraction(text) {
  let [value, weight] = [0, 1];
  for (const letter of text.slice(0, 6)) {
    weight /= 256;
    value += Math.min(255, letter.codePointAt(0)) * weight;
  }
  return value;
}
`;
