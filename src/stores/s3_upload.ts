/**
 * A multipart upload as a sink. The part that begins the object goes last, as its first bytes are known last.
 * @module
 */
import type { ObjectUpload, ObjectVersion, Precondition } from "./store.ts";
import { requireHead, uploadEndedError } from "./stored_object.ts";

/** The requests of a multipart upload, bound to one object. */
export interface MultipartRequests {
  readonly url: string;
  putWhole(bytes: Uint8Array): Promise<ObjectVersion>;
  /** Gives the upload's id. */
  create(): Promise<string>;
  /** Gives the part's ETag. */
  uploadPart(uploadId: string, partNumber: number, bytes: Uint8Array): Promise<string>;
  /** @param etags Of all parts, in order. */
  complete(uploadId: string, etags: readonly string[]): Promise<{ readonly etag: string | null }>;
  abort(uploadId: string): Promise<void>;
}

/** Layout of an upload. */
export interface MultipartLayout {
  readonly headBytes: number;
  /** Length of the parts, from 5 MiB up; part 1 includes the head. */
  readonly partBytes: number;
  readonly precondition?: Precondition | undefined;
}

/** Parts under way at the same time. */
const PARTS_AT_ONCE = 3;
/** S3 takes 10,000 parts: from here on they double in size every so many parts. */
const GROW_AFTER_PARTS = 2000;

/**
 * Collects chunks into parts and uploads them while more chunks come. Holds the first part, the part being filled, and
 * up to three under way: five parts. An object that fits one part is written in one request.
 */
export class MultipartUpload implements ObjectUpload {
  readonly #requests: MultipartRequests;
  readonly #layout: MultipartLayout;
  #first: Uint8Array<ArrayBuffer> | undefined;
  #part: Uint8Array<ArrayBuffer>;
  #filledBytes = 0;
  #sizeBytes: number;
  #uploadId: Promise<string> | undefined;
  readonly #etags: string[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #isEnded = false;

  constructor(requests: MultipartRequests, layout: MultipartLayout) {
    this.#requests = requests;
    this.#layout = layout;
    this.#sizeBytes = layout.headBytes;
    this.#part = new Uint8Array(layout.partBytes - layout.headBytes);
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#requireOpen();
    for (let at = 0; at < chunk.length;) {
      if (this.#filledBytes === this.#part.length) await this.#nextPart();
      const taken = chunk.subarray(at, at + this.#part.length - this.#filledBytes);
      this.#part.set(taken, this.#filledBytes);
      this.#filledBytes += taken.length;
      at += taken.length;
    }
    this.#sizeBytes += chunk.length;
  }

  async finish(head: Uint8Array): Promise<ObjectVersion> {
    this.#requireOpen();
    requireHead(this.#requests.url, head, this.#layout.headBytes);
    const rest = this.#part.subarray(0, this.#filledBytes);
    if (this.#first === undefined) {
      const version = await this.#requests.putWhole(joined(head, rest));
      this.#isEnded = true;
      return version;
    }
    if (rest.length > 0) this.#start(this.#partNumber, rest);
    await Promise.all(this.#underWay);
    this.#requireOpen();
    const uploadId = await this.#begin();
    this.#etags[0] = await this.#requests.uploadPart(uploadId, 1, joined(head, this.#first));
    const { etag } = await this.#requests.complete(uploadId, this.#etags);
    this.#isEnded = true;
    return { etag, sizeBytes: this.#sizeBytes };
  }

  async abort(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await Promise.allSettled(this.#underWay);
    const uploadId = await this.#uploadId?.catch(() => undefined);
    if (uploadId !== undefined) await this.#requests.abort(uploadId).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  /** Number of the part that is being filled. */
  get #partNumber(): number {
    return this.#first === undefined ? 1 : this.#etags.length + 1;
  }

  #requireOpen(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#isEnded) throw uploadEndedError(this.#requests.url);
  }

  #begin(): Promise<string> {
    this.#uploadId ??= this.#requests.create();
    return this.#uploadId;
  }

  async #nextPart(): Promise<void> {
    if (this.#first === undefined) {
      this.#first = this.#part;
      this.#etags.push("");
    } else {
      this.#start(this.#partNumber, this.#part);
    }
    while (this.#underWay.size >= PARTS_AT_ONCE) await Promise.race(this.#underWay);
    this.#requireOpen();
    const growth = 2 ** Math.floor(this.#etags.length / GROW_AFTER_PARTS);
    this.#part = new Uint8Array(this.#layout.partBytes * growth);
    this.#filledBytes = 0;
  }

  #start(partNumber: number, bytes: Uint8Array): void {
    this.#etags[partNumber - 1] = "";
    const sending = this.#send(partNumber, bytes).finally(() => this.#underWay.delete(sending));
    this.#underWay.add(sending);
  }

  /** Never rejects: the failure is thrown by the next call. */
  async #send(partNumber: number, bytes: Uint8Array): Promise<void> {
    try {
      const uploadId = await this.#begin();
      this.#etags[partNumber - 1] = await this.#requests.uploadPart(uploadId, partNumber, bytes);
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}

function joined(head: Uint8Array, rest: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + rest.length);
  whole.set(head);
  whole.set(rest, head.length);
  return whole;
}
