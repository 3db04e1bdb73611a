/**
 * Tells when the S3 client sends a request again.
 * @module
 */
import type { S3Client } from "@aws-sdk/client-s3";
import { type EventSink, guardedEventSink } from "../events.ts";

/** The part of the client's retry strategy that decides whether there is another try. */
interface RetryStrategy {
  refreshRetryTokenForRetry(token: unknown, info: { readonly errorType: string }): Promise<RetryToken>;
}

interface RetryToken {
  getRetryCount(): number;
  getRetryDelay(): number;
}

/** Kinds of failures that the client repeats requests after; others end them at the first try. */
const PASSING = ["TRANSIENT", "THROTTLING"];

/** Emits `s3.retry` and `s3.retry_exhausted` for the requests of a client that is ours alone. */
export function tellRetries(client: S3Client, onEvent: EventSink): void {
  const emit = guardedEventSink(onEvent);
  const given = client.config.retryStrategy as unknown as () => Promise<RetryStrategy>;
  let observed: Promise<RetryStrategy> | undefined;
  Object.assign(client.config, { retryStrategy: () => observed ??= given().then((inner) => observe(inner, emit)) });
}

function observe(inner: RetryStrategy, emit: EventSink): RetryStrategy {
  const refreshRetryTokenForRetry: RetryStrategy["refreshRetryTokenForRetry"] = async (token, info) => {
    const attempts = (token as RetryToken).getRetryCount() + 1;
    try {
      const next = await inner.refreshRetryTokenForRetry(token, info);
      const payload = { attempt: next.getRetryCount(), "backoff_s": next.getRetryDelay() / 1000 };
      emit({ name: "s3.retry", payload });
      return next;
    } catch (error) {
      if (PASSING.includes(info.errorType)) emit({ name: "s3.retry_exhausted", payload: { attempts } });
      throw error;
    }
  };
  return new Proxy(inner, {
    get(target, name) {
      if (name === "refreshRetryTokenForRetry") return refreshRetryTokenForRetry;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}
