/**
 * A multipart upload as a sink. The part that begins the object goes last, as its first bytes are known last.
 * @module
 */
import type { ObjectUpload, ObjectVersion } from "./store.ts";
import { requireHead, uploadEndedError } from "./stored_object.ts";

/** The requests of a multipart upload, bound to one object. */
export interface MultipartRequests {
  readonly url: string;
  putWhole(bytes: Uint8Array): Promise<ObjectVersion>;
  /** Gives the upload's id. */
  create(): Promise<string>;
  /** Gives the part's ETag. */
  uploadPart(part: UploadPart, signal: AbortSignal): Promise<string>;
  /** @param etags Of all parts, in order. */
  complete(uploadId: string, etags: readonly string[]): Promise<{ readonly etag: string | null }>;
  abort(uploadId: string): Promise<void>;
}

/** One part on its way. */
export interface UploadPart {
  readonly uploadId: string;
  /** From 1 up. */
  readonly partNumber: number;
  readonly bytes: Uint8Array;
}

/** Layout of an upload. */
export interface MultipartLayout {
  readonly headBytes: number;
  /** Length of the parts, from 5 MiB up; part 1 includes the head. */
  readonly partBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** Parts under way at the same time. */
const PARTS_AT_ONCE = 3;
/**
 * S3 takes 10,000 parts. Half of them are of one length, which some stores demand of all (R2), 40 GiB by default; then
 * the length doubles every 1,000 parts, so that the rest reaches half a TiB.
 */
const EQUAL_PARTS = 5000;
const GROW_EVERY_PARTS = 1000;
/** What the buffer of the first part begins with, since most objects are small. */
const FIRST_BUFFER_BYTES = 64 * 1024;

/**
 * Collects chunks into parts and uploads them while more chunks come. Holds the first part, the part being filled, and
 * up to three under way: five parts. An object that fits one part is written in one request.
 */
export class MultipartUpload implements ObjectUpload {
  readonly #requests: MultipartRequests;
  readonly #layout: MultipartLayout;
  readonly #givenUp = new AbortController();
  /** Part 1 with room for the head, once it is full. */
  #first: Uint8Array<ArrayBuffer> | undefined;
  /** The part being filled, its bytes so far, and how many it takes. */
  #part: Uint8Array<ArrayBuffer>;
  #filledBytes: number;
  #capacityBytes: number;
  #sizeBytes: number;
  #uploadId: Promise<string> | undefined;
  /** Of the parts so far, empty for those under way. */
  readonly #etags: string[] = [""];
  readonly #underWay = new Set<Promise<void>>();
  /** Buffers of parts that have arrived. */
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  #failure: { readonly error: unknown } | undefined;
  #isEnded = false;

  constructor(requests: MultipartRequests, layout: MultipartLayout) {
    this.#requests = requests;
    this.#layout = layout;
    this.#part = new Uint8Array(Math.min(layout.headBytes + FIRST_BUFFER_BYTES, layout.partBytes));
    this.#filledBytes = layout.headBytes;
    this.#capacityBytes = layout.partBytes;
    this.#sizeBytes = layout.headBytes;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#requireOpen();
    for (let at = 0; at < chunk.length;) {
      if (this.#filledBytes === this.#capacityBytes) await this.#nextPart();
      const taken = chunk.subarray(at, at + this.#capacityBytes - this.#filledBytes);
      this.#makeRoom(this.#filledBytes + taken.length);
      this.#part.set(taken, this.#filledBytes);
      this.#filledBytes += taken.length;
      at += taken.length;
    }
    this.#sizeBytes += chunk.length;
  }

  async finish(head: Uint8Array): Promise<ObjectVersion> {
    this.#requireOpen();
    requireHead(this.#requests.url, head, this.#layout.headBytes);
    try {
      const version = await this.#finish(head);
      this.#isEnded = true;
      return version;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async abort(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#givenUp.abort();
    // A part that arrives after the upload was given up would stay there, so all have to end first.
    await Promise.all(this.#underWay);
    const uploadId = await this.#uploadId?.catch(() => undefined);
    if (uploadId !== undefined) await this.#requests.abort(uploadId).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #requireOpen(): void {
    this.#layout.signal?.throwIfAborted();
    if (this.#isEnded) throw uploadEndedError(this.#requests.url);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #finish(head: Uint8Array): Promise<ObjectVersion> {
    const last = this.#part.subarray(0, this.#filledBytes);
    const first = this.#first ?? last;
    first.set(head);
    if (this.#first === undefined) return await this.#requests.putWhole(first);

    this.#start(last);
    await Promise.all(this.#underWay);
    this.#requireOpen();
    const uploadId = await this.#begin();
    const part = { uploadId, partNumber: 1, bytes: first };
    this.#etags[0] = await this.#requests.uploadPart(part, this.#givenUp.signal);
    const { etag } = await this.#requests.complete(uploadId, this.#etags);
    return { etag, sizeBytes: this.#sizeBytes };
  }

  // Not begun before it is needed, and only once.
  #begin(): Promise<string> {
    this.#uploadId ??= this.#requests.create();
    return this.#uploadId;
  }

  /** Sends the full part on its way, when one may be, and takes an empty one. */
  async #nextPart(): Promise<void> {
    if (this.#first === undefined) this.#first = this.#part;
    else this.#start(this.#part);
    while (this.#underWay.size >= PARTS_AT_ONCE) await Promise.race(this.#underWay);
    this.#requireOpen();
    const doublings = Math.max(0, Math.ceil((this.#etags.length + 1 - EQUAL_PARTS) / GROW_EVERY_PARTS));
    this.#capacityBytes = this.#layout.partBytes * 2 ** doublings;
    const free = this.#free.pop();
    this.#part = free?.length === this.#capacityBytes ? free : new Uint8Array(this.#capacityBytes);
    this.#filledBytes = 0;
  }

  #makeRoom(neededBytes: number): void {
    if (neededBytes <= this.#part.length) return;
    const wider = new Uint8Array(Math.min(Math.max(neededBytes, this.#part.length * 2), this.#capacityBytes));
    wider.set(this.#part.subarray(0, this.#filledBytes));
    this.#part = wider;
  }

  #start(bytes: Uint8Array<ArrayBuffer>): void {
    const partNumber = this.#etags.push("");
    const sending = this.#send(partNumber, bytes).finally(() => this.#underWay.delete(sending));
    this.#underWay.add(sending);
  }

  /** Never rejects: the failure is thrown by the next call. */
  async #send(partNumber: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      const uploadId = await this.#begin();
      const part = { uploadId, partNumber, bytes };
      this.#etags[partNumber - 1] = await this.#requests.uploadPart(part, this.#givenUp.signal);
      this.#free.push(bytes);
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}
