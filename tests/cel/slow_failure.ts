/**
 * How the slow evaluator fails.
 * @module
 */

/** A failure; the ones that are `final` are not absorbed by logical operators. */
export class SlowFailure extends Error {
  readonly isFinal: boolean;
  constructor(message: string, isFinal = false) {
    super(message);
    this.isFinal = isFinal;
  }
}
