// What the test of two publishers runs in processes of its own: `postgres_process.ts <url> <name> <count>`. Publishes
// over whatever is current, and prints as JSON what came of each try.
import process from "node:process";
import { PublishConflictError } from "../../src/errors.ts";
import { postgresManifestStore } from "../../src/snapshots/postgres_manifest_store.ts";
import { manifestOf } from "./publishing.ts";

const [connection = "", name = "", count = "0"] = process.argv.slice(2);
await using manifests = postgresManifestStore({ connection });
for (let number = 0; number < Number(count); number++) {
  const expected = await manifests.loadCurrent();
  const manifest = manifestOf(`${name}-${number}`, { url: "memory:///series" });
  try {
    const { ref } = await manifests.publish(manifest, expected);
    console.log(JSON.stringify({ ref, over: expected?.ref ?? null }));
  } catch (error) {
    if (!(error instanceof PublishConflictError)) throw error;
    console.log(JSON.stringify({ lost: error.manifestRef, winner: error.winnerRef }));
  }
}
