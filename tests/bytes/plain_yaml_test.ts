// Judges: run records that the Python package wrote, and what PyYAML's rules say about texts that look like other types.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseYaml, renderYaml } from "../../src/bytes/plain_yaml.ts";

test("renderYaml() quotes what would be read as something else than a text, and only that", () => {
  const quoted = ["", "~", "null", "Null", "yes", "NO", "true", "on", "OFF", "12345", "-1", "1_000", "0x1f", "0b1"];
  quoted.push("017", "1.5", ".5", "1.5e+3", ".inf", "-.INF", ".nan", "1:30", "2026-01-02", "2026-1-2 03:04:05");
  quoted.push("2026-01-02T03:04:05Z", "<<", "=", "- a", "-", "? a", "{a", "[a", "&a", "*a", "!a", "|", ">", "%a", "@a");
  quoted.push("`a", "#a", "a #b", "a: b", "a:", " a", "a ", "--- a", "...", '"a"', "'a'");
  quoted.push("1e5", "0o17", "08", "y", "N"); // Which PyYAML leaves plain.
  for (const text of quoted) {
    equal(renderYaml({ a: text }), `a: '${text.replaceAll("'", "''")}'\n`);
    deepEqual(parseYaml(renderYaml({ a: text })), { a: text });
  }
  for (const text of ["a", "s3://b/p", "db={db_id:05d}", "-a", "?a", ":a", "a:b", "a#b", "a'b", 'a"b', "1a", "2efb"]) {
    equal(renderYaml({ a: text }), `a: ${text}\n`);
    deepEqual(parseYaml(renderYaml({ a: text })), { a: text });
  }
});

test("renderYaml() folds lines as PyYAML does", () => {
  const word = "abcdefghi ";
  const cases: [string, string][] = [
    [word.repeat(9) + "end", `a: ${word.repeat(8)}\n  ${word}end\n`.replace(" \n", "\n")],
    [": " + word.repeat(9) + "end", `a: ': ${word.repeat(8)}\n  ${word}end'\n`.replace(" \n", "\n")],
    ["two\n\nlines\n", "a: 'two\n\n\n  lines\n\n  '\n"],
    ["a \n b", 'a: "a \\n b"\n'],
    ["é" + " ".repeat(90), `a: "\\xE9${" ".repeat(73)}\\\n  \\${" ".repeat(17)}"\n`],
  ];
  for (const [text, yaml] of cases) {
    equal(renderYaml({ a: text }), yaml);
    deepEqual(parseYaml(yaml), { a: text });
  }
});

test("parseYaml() reads what renderYaml() writes, whatever the texts", () => {
  const pieces = fc.constantFrom(
    ..." \n'\"\\:#-?{}[],&*!|>%@`~=é😀\t\x07\0\x85\u2028\ufeffab01.e",
    "word",
    "longer_word",
  );
  const texts = fc.array(pieces, { maxLength: 120 }).map((list) => list.join(""));
  fc.assert(
    fc.property(
      fc.dictionary(fc.stringMatching(/^[a-z]\w{0,12}$/), fc.oneof(texts, fc.string()), { minKeys: 1 }),
      (map) => {
        const yaml = renderYaml(map);
        deepEqual({ ...parseYaml(yaml) }, Object.fromEntries(Object.entries(map).sort()));
        ok(/^[\n\x20-\x7e]*$/.test(yaml));
      },
    ),
    { numRuns: 500 },
  );
});

test("parseYaml() reads other spellings of the same, and refuses what it does not know", () => {
  const text = '---\n# a comment\na:  b c   # why\n\nb: "x\n  y\\\n   z\\u00e9"\nc:\n  d\n  e\nf: 5\ng:\r\n';
  deepEqual(parseYaml(text), { a: "b c", b: "x yzé", c: "d e", f: 5, g: null });
  for (
    const wrong of ["", "[]", "just text", "- a", "a: [", "a: {b: 1}", "a: |\n  b", "a: &x b", "a: b: c", "a: 1\na: 2"]
      .concat([
        "a: 'b",
        'a: "b',
        'a: "\\q"',
        'a: "\\U99999999"',
        "a:\n  b: c",
        "a:\n- b",
        "a: true",
        "a: 'b' c",
        "a: 1.5",
      ])
  ) {
    equal(parseYaml(wrong), null, wrong);
  }
});
