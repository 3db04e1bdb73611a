import { httpStore } from "../../src/stores/http_store.ts";
import { readableStoreContract } from "../contracts/readable_store_contract.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";

readableStoreContract("httpStore()", async () => {
  const objects = new Map<string, Uint8Array>();
  const server = await startCountingProxy({ objects });
  return {
    store: httpStore(`${server.url}/folder/of=many/?signature=secret`),
    put: (key, bytes) => Promise.resolve(objects.set(`folder/of=many/${key}`, bytes.slice())),
    cleanUp: async () => await server[Symbol.asyncDispose](),
  };
});
