// Publishes a list as a snapshot, every night say: `deno run -A deno_script.ts [folder or s3://bucket/prefix]`.
import {
  cleanUp,
  hashSharding,
  jsonValue,
  openSnapshot,
  rowCountDrift,
  writeSnapshot,
} from "@shardyfusion/shardyfusion";
import { fsStore } from "@shardyfusion/shardyfusion/stores/fs";
import { s3Store } from "@shardyfusion/shardyfusion/stores/s3";

const [place = "./data/example"] = Deno.args;
const store = place.startsWith("s3://") ? s3Store({ url: place }) : fsStore(place);

/** What a database or an API would give. */
async function* people(): AsyncGenerator<{ id: number; name: string }> {
  yield { id: 1, name: "Ada" };
  yield { id: 2, name: "Grace" };
  yield { id: 3, name: "Edsger" };
}

const { manifestRef, stats } = await writeSnapshot(people(), {
  store,
  sharding: hashSharding({ shards: 4 }),
  key: (row) => row.id,
  value: jsonValue(),
  reuse: "copy", // what did not change is not uploaded again
  validate: rowCountDrift({ against: store, maxRatio: 0.5 }), // half of the rows gone: rather keep the old ones
});
console.log(`published ${stats.rowsWritten} rows: ${manifestRef}`);

await using reader = await openSnapshot({ store });
console.log(new TextDecoder().decode((await reader.get(2))!));

const { manifests } = await cleanUp(store, { keep: 7 });
console.log(`removed ${manifests.length} old snapshots`);
