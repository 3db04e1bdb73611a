/** Judge: `misc_vectors.json`, made by the Python package. */
import { deepEqual, doesNotThrow, equal, match, notEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { parseStamp } from "../../src/bytes/timestamps.ts";
import {
  attemptPrefix,
  checkDbPathTemplate,
  checkRunId,
  checkSegment,
  dbPath,
  joinUrl,
  keyUnder,
  manifestKey,
  manifestKeyOfRef,
  newHexId,
  parseManifestFolder,
  runIdOfManifestRef,
} from "../../src/snapshots/layout.ts";
import { fixtureJson, fixtureManifests } from "./fixture_manifests.ts";

const vectors = fixtureJson("vectors/misc_vectors.json");

test("joinUrl() joins as the Python package does", () => {
  for (const { base, parts, result } of vectors.join_s3) equal(joinUrl(base, ...parts), result);
});

test("attemptPrefix() names shards as the Python package does", () => {
  for (const vector of vectors.shard_url) {
    const layout = {
      runId: vector.run_id,
      shardPrefix: vector.shard_prefix,
      dbPathTemplate: vector.db_path_template,
    };
    checkDbPathTemplate(layout.dbPathTemplate);
    const prefix = attemptPrefix(layout, { shardId: vector.db_id, attempt: vector.attempt });
    equal(joinUrl(vector.s3_prefix, prefix), vector.result);
  }
});

test("parseManifestFolder() knows the folders that the Python package lists", () => {
  for (const { dir, result } of vectors.manifest_dir_entries) {
    const folder = parseManifestFolder(dir);
    if (result === null) {
      equal(folder, null, dir);
      continue;
    }
    deepEqual(folder, { runId: result.run_id, publishedAtMicros: parseStamp(result.published_at) });
    equal(`s3://b/p/${manifestKey(folder!.publishedAtMicros, folder!.runId, "manifest")}`, result.ref);
    equal(`s3://b/p/${manifestKeyOfRef(result.ref)}`, result.ref);
  }
  equal(parseManifestFolder("2026-02-30T10:30:00.000000Z_run_id=a"), null);
});

test("runIdOfManifestRef() takes the manifest's folder, unlike the Python package", () => {
  for (const { ref, result } of vectors.run_id_from_ref) {
    const expected = ref.includes("/run_id=x/") ? "abc" : result.error ? null : result;
    equal(runIdOfManifestRef(ref), expected, ref);
  }
  equal(runIdOfManifestRef("s3://b/p/manifests/2026-03-14T10:30:00.999999Z_run_id=a_run_id=b/manifest"), "a_run_id=b");
  equal(runIdOfManifestRef("s3://b/p/run_id=x/manifests/t/manifest"), null);
  equal(runIdOfManifestRef(""), null);
});

test("manifestKeyOfRef() takes refs of the usual form only", () => {
  const folder = "2026-03-14T10:30:00.000000Z_run_id=abc";
  equal(manifestKeyOfRef(`s3://b/p/manifests/${folder}/custom`), `manifests/${folder}/custom`);
  for (
    const ref of [`s3://b/p/${folder}/manifest`, `manifests/${folder}/..`, `manifests/${folder}/`, "", "manifests"]
  ) {
    equal(manifestKeyOfRef(ref), null, ref);
  }
});

test("keyUnder() finds every shard of every snapshot under the place that its manifest states", () => {
  for (const { ref, expected } of fixtureManifests()) {
    const prefix = String(expected.build_meta["s3_prefix"]);
    for (const { db_url: url } of expected.shards) equal(`${prefix}/${keyUnder(prefix, String(url))}`, url);
    equal(keyUnder(prefix, ref), manifestKeyOfRef(ref));
  }
});

test("keyUnder() refuses what lies elsewhere or leaves its place", () => {
  equal(keyUnder("s3://b/p//", "s3://b/p/x/y"), "x/y");
  const elsewhere = ["s3://b/px/y", "s3://c/p/x", "s3://b/p", "s3://b/p/", "x", "/x", ""];
  const unclean = ["..", "x/..", "x/../y", "./x", "x/.", "x//y", "x/", "/x"];
  for (const ref of [...elsewhere, ...unclean.map((path) => `s3://b/p/${path}`)]) {
    equal(keyUnder("s3://b/p", ref), null, ref);
  }
  equal(keyUnder("", "/x"), null);
});

test("dbPath() fills zeros in as Python's format() does", () => {
  equal(dbPath("db={db_id:05d}", 7), "db=00007");
  equal(dbPath("{db_id:03d}/{db_id}", 12), "012/12");
  equal(dbPath("{db_id:02d}", 1234), "1234");
});

test("checkDbPathTemplate() takes what gives each shard a clean path of its own", () => {
  for (const template of ["db={db_id:05d}", "{db_id}", "{db_id:d}", "a/{db_id:012d}/b", "part-{db_id}"]) {
    doesNotThrow(() => checkDbPathTemplate(template), template);
  }
  const wrong = ["", "db", "{db}", "{}", "{db_id:5d}", "{db_id:x}", "{db_id", "{{db_id}}", "{db_id!r}", "{db_id:0d}"];
  const unclean = ["/{db_id}", "{db_id}/", "../{db_id}", "a//{db_id}", "{db_id}?", "a\\{db_id}", "{db_id}\n"];
  for (const template of [...wrong, ...unclean]) {
    throws(() => checkDbPathTemplate(template), { code: "CONFIG_VALIDATION", path: "dbPathTemplate" }, template);
  }
});

test("checkSegment() takes one segment of plain characters", () => {
  for (const segment of ["shards", "data-v1", "_runs", "a.b", "0"]) doesNotThrow(() => checkSegment(segment, "p"));
  for (const segment of ["", ".", "..", "a..b", "a/b", "a\\b", "a b", "é", "a\n"]) {
    throws(() => checkSegment(segment, "shardPrefix"), { code: "CONFIG_VALIDATION", path: "shardPrefix" }, segment);
  }
});

test("checkRunId() takes what objects can be named after", () => {
  for (const runId of ["nightly.2026-01-02_a", "é x", "a=b", "...", "12345"]) doesNotThrow(() => checkRunId(runId));
  for (const runId of ["", ".", "..", "a/b", "a\nb", "\0", "a?b", "a#b", "a\\b", "\ud83d", "\x7f"]) {
    throws(() => checkRunId(runId), { code: "CONFIG_VALIDATION", path: "runId" }, runId);
  }
});

test("newHexId() gives 32 hex digits, never the same", () => {
  match(newHexId(), /^[0-9a-f]{32}$/);
  notEqual(newHexId(), newHexId());
});
