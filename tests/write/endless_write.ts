// Writes a snapshot that never ends, to be killed: `endless_write.ts STORE_FOLDER SCRATCH_FOLDER`. Says when it spills.
import { hashSharding, writeSnapshot } from "../../mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";

const [storeFolder, localRoot] = process.argv.slice(2);

async function* rows(): AsyncGenerator<number> {
  for (let row = 0;; row++) {
    if (row === 50_000) console.log("spilling");
    if (row % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    yield row;
  }
}

await writeSnapshot(rows(), {
  store: fsStore(storeFolder!),
  sharding: hashSharding({ shards: 4 }),
  key: (row) => row,
  value: (row) => `value ${row}`,
  memory: { bytesMax: 100_000 },
  localRoot,
});
