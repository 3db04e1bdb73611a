/**
 * An explorer behind a server of this process.
 * @module
 */
import { createServer } from "node:http";
import { Buffer } from "node:buffer";
import { explorerHandler, type ExplorerOptions } from "../../src/explorer/explorer_handler.ts";

/** A server, until it is disposed of. */
export interface Served extends AsyncDisposable {
  readonly url: string;
}

/** Serves an explorer at a port of its own; 404 for what it does not answer. */
export async function served(options: ExplorerOptions): Promise<Served> {
  const handler = explorerHandler(options);
  const server = createServer((incoming, outgoing) => {
    const chunks: Uint8Array[] = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", async () => {
      const hasBody = incoming.method !== "GET" && incoming.method !== "HEAD";
      const request = new Request(`http://${incoming.headers.host}${incoming.url}`, {
        method: incoming.method!,
        headers: Object.entries(incoming.headers).map(([name, value]): [string, string] => [name, String(value)]),
        ...(hasBody ? { body: Buffer.concat(chunks) } : {}),
      });
      const answer = await handler(request) ?? new Response("Not found", { status: 404 });
      outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
      outgoing.end(new Uint8Array(await answer.arrayBuffer()));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
