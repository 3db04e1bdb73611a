/**
 * Errors about rows with the number of the row in them.
 * @module
 */
import {
  CelEvaluationError,
  ConfigValidationError,
  ShardAssignmentError,
  UnknownRoutingTokenError,
} from "../errors.ts";

/** @returns The same kind of error; what is not about a row stays as it is. */
export function locatedError(error: unknown, where: string): unknown {
  const located = (message: string): string => `${message} (${where})`;
  if (error instanceof ConfigValidationError) {
    return new ConfigValidationError(located(error.message), error.path, { cause: error.cause });
  }
  if (error instanceof CelEvaluationError) {
    return new CelEvaluationError(located(error.message), error.expr, { cause: error.cause });
  }
  if (error instanceof ShardAssignmentError) {
    return new ShardAssignmentError(located(error.message), { cause: error.cause });
  }
  if (error instanceof UnknownRoutingTokenError) {
    return new ShardAssignmentError(located(`Cannot give a row to a shard: ${error.message}`), { cause: error });
  }
  return error;
}
