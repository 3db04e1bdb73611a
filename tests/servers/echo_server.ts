/**
 * A server that tells everybody what it was told: each answer repeats the request's line, headers and body, as a
 * careless proxy's error page does.
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it came; names of headers in lower case. */
export interface EchoedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** How the server answers. */
export interface EchoedAnswer {
  readonly status: number;
  /** Wraps what is repeated. Default: an error of S3 in XML. */
  readonly page?: (echo: string) => string;
  readonly contentType?: string;
}

/** A running server; dispose it. */
export interface EchoServer extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly log: EchoedRequest[];
  answer: EchoedAnswer;
}

/** Starts one on a free port of the loopback interface. It says 403 until it is told otherwise. */
export async function startEchoServer(): Promise<EchoServer> {
  const log: EchoedRequest[] = [];
  const server = createServer(async (request, response) => {
    const { method = "", url = "" } = request;
    const headers = request.headers as EchoedRequest["headers"];
    log.push({ method, url, headers });
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const body = new TextDecoder().decode(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    const echo = `${method} ${url} ${JSON.stringify(headers)} ${body}`;
    const { status, page = s3Error, contentType = "application/xml" } = echoServer.answer;
    response.writeHead(status, { "content-type": contentType, "x-echo": encodeURI(echo).slice(0, 4000) });
    response.end(status === 304 || method === "HEAD" ? undefined : page(echo));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const echoServer: EchoServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    log,
    answer: { status: 403 },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return echoServer;
}

function s3Error(echo: string): string {
  const escaped = echo.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const parts = `<Code>SignatureDoesNotMatch</Code><Message>Cannot believe ${escaped}</Message>`;
  return `<?xml version="1.0"?><Error>${parts}<StringToSign>${escaped}</StringToSign></Error>`;
}
