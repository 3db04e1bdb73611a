// Judge: run records that the Python package wrote.
import { deepEqual, equal, throws } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { jsonStamp } from "../../src/bytes/timestamps.ts";
import { parseRunRecord, renderRunRecord, type RunRecord } from "../../src/snapshots/run_record.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
const vectors = JSON.parse(readFileSync(new URL("vectors/misc_vectors.json", FIXTURES), "utf8"));
const encode = (text: string) => new TextEncoder().encode(text);

/** The record with the names of the Python package. */
function fieldsOf(record: RunRecord): Record<string, unknown> {
  return {
    format_version: 1,
    run_id: record.runId,
    writer_type: record.writerType,
    status: record.status,
    started_at: jsonStamp(record.startedAtMicros),
    updated_at: jsonStamp(record.updatedAtMicros),
    lease_expires_at: jsonStamp(record.leaseExpiresAtMicros),
    s3_prefix: record.s3Prefix,
    shard_prefix: record.shardPrefix,
    db_path_template: record.dbPathTemplate,
    manifest_ref: record.manifestRef,
    error_type: record.errorType,
    error_message: record.errorMessage,
  };
}

test("parseRunRecord() and renderRunRecord() read and write the run records of the vectors", () => {
  for (const { yaml, fields } of vectors.run_records) {
    const record = parseRunRecord(encode(yaml), "run.yaml");
    deepEqual(fieldsOf(record), fields);
    const rendered = new TextDecoder().decode(renderRunRecord(record));
    // Readers of YAML 1.2 take it for a number where it stands plain.
    equal(rendered, yaml.replace("run_id: 1e5\n", "run_id: '1e5'\n"));
  }
});

test("parseRunRecord() and renderRunRecord() read and write the run records of the fixtures", () => {
  const { run_records: history } = JSON.parse(
    readFileSync(new URL("snapshots/history/expected.json", FIXTURES), "utf8"),
  );
  for (const { yaml, parsed, ref } of history) {
    const record = parseRunRecord(encode(yaml), ref);
    deepEqual(fieldsOf(record), parsed);
    equal(new TextDecoder().decode(renderRunRecord(record)), yaml);
  }
  const all = readdirSync(new URL("snapshots/", FIXTURES), { recursive: true, encoding: "utf8" });
  const paths = all.filter((path) => path.endsWith("run.yaml"));
  for (const path of paths) {
    const yaml = readFileSync(
      new URL(`snapshots/${path.split(/[\\/]/).map(encodeURIComponent).join("/")}`, FIXTURES),
      "utf8",
    );
    equal(new TextDecoder().decode(renderRunRecord(parseRunRecord(encode(yaml), path))), yaml);
  }
  equal(paths.length > 10, true);
});

test("parseRunRecord() refuses what the Python package refuses", () => {
  for (const { yaml } of vectors.run_record_errors) {
    throws(() => parseRunRecord(encode(yaml), "s3://b/p/run.yaml"), {
      code: "MANIFEST_PARSE",
      ref: "s3://b/p/run.yaml",
    }, yaml);
  }
  const [{ yaml }] = vectors.run_records;
  for (
    const [old, replaced] of [["run_id: abc", "run_id: 12"], ["started_at: '2026", "started_at: 'x2026"], [
      "version: 1",
      "version: 2",
    ]]
  ) {
    throws(() => parseRunRecord(encode(yaml.replace(old, replaced)), "x"), { code: "MANIFEST_PARSE" }, replaced);
  }
});
