/** Judge: pointers that the Python package wrote, and what it made of malformed ones. */
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { parseStamp } from "../../src/bytes/timestamps.ts";
import { parsePointer, renderPointer } from "../../src/snapshots/pointer.ts";
import { fixtureBytes, fixtureJson, snapshotNames } from "./fixture_manifests.ts";

const source = { ref: "s3://b/p/_CURRENT", version: '"v1"' };
const errors = fixtureJson("errors/reader_errors.json");

test("parsePointer() and renderPointer() give back every pointer of the Python package byte for byte", () => {
  for (const name of snapshotNames()) {
    const bytes = fixtureBytes(`snapshots/${name}/store/shardy-fixtures/${name}/_CURRENT`);
    const pointer = parsePointer(bytes, source);
    const fields = JSON.parse(new TextDecoder().decode(bytes));
    deepEqual(pointer, {
      ref: fields.manifest_ref,
      runId: fields.run_id,
      publishedAtMicros: parseStamp(fields.updated_at),
      generation: null,
      previous: null,
      version: '"v1"',
    });
    deepEqual(renderPointer(pointer), bytes);
  }
});

test("parsePointer() judges malformed pointers as the Python package does", () => {
  const cases = errors.cases.filter(({ name, overlay }: { name: string; overlay: string[] }) =>
    name.startsWith("current_") && overlay.length > 0
  );
  equal(cases.length, 8);
  for (const { name, open } of cases) {
    const bytes = fixtureBytes(`errors/cases/${name}/shardy-fixtures/errors/_CURRENT`);
    if (open.error?.class === "ManifestParseError") {
      throws(() => parsePointer(bytes, source), { code: "MANIFEST_PARSE", ref: source.ref }, name);
    } else {
      parsePointer(bytes, source);
    }
  }
});

test("parsePointer() refuses wrong types and bytes that are no UTF-8", () => {
  const good = {
    "format_version": 1,
    "manifest_content_type": "x",
    "manifest_ref": "r",
    "run_id": "i",
    "updated_at": "2026-01-02T03:04:05Z",
  };
  const parse = (fields: unknown) => parsePointer(new TextEncoder().encode(JSON.stringify(fields)), source);
  equal(parse(good).ref, "r");
  equal(parse({ ...good, "format_version": undefined }).runId, "i");
  const wrong = [
    { ...good, "manifest_ref": 1 },
    { ...good, "run_id": null },
    { ...good, "manifest_content_type": undefined },
    { ...good, "updated_at": "2026-02-30T00:00:00Z" },
    { ...good, "format_version": "one" },
    [good],
    null,
    "text",
  ];
  for (const fields of wrong) throws(() => parse(fields), { code: "MANIFEST_PARSE" }, JSON.stringify(fields));
  throws(() => parsePointer(Uint8Array.of(0x22, 0xff, 0x22), source), { code: "MANIFEST_PARSE" });
});

test("parsePointer() takes fields of ours that are none for absent", () => {
  const text = (extra: string) =>
    `{"manifest_content_type":"x","manifest_ref":"r","run_id":"i","updated_at":"2026-01-02T03:04:05Z",${extra}}`;
  const parse = (extra: string) => parsePointer(new TextEncoder().encode(text(extra)), source);
  for (const extra of ['"generation":-1', '"generation":"3"', '"generation":1.5', '"generation":9007199254740993']) {
    equal(parse(extra).generation, null, extra);
  }
  for (const extra of ['"previous":"r"', '"previous":[1]', '"previous":{}']) equal(parse(extra).previous, null, extra);
  const many = (value: string) => JSON.stringify(Array(20).fill(value));
  equal(parse(`"previous":${many("r")}`).previous?.length, 10);
});

test("renderPointer() adds our two fields in sorted order and escapes as Python does", () => {
  const bytes = renderPointer({
    ref: "s3://b/é/m",
    runId: "r",
    publishedAtMicros: 1_767_323_045_000_000,
    generation: 7,
    previous: ["s3://b/é/l"],
  });
  equal(
    new TextDecoder().decode(bytes),
    '{"format_version":1,"generation":7,"manifest_content_type":"application/x-sqlite3",' +
      '"manifest_ref":"s3://b/\\u00e9/m","previous":["s3://b/\\u00e9/l"],"run_id":"r",' +
      '"updated_at":"2026-01-02T03:04:05Z"}',
  );
});
