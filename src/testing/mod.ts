/**
 * For tests of programs that use this library: a clock that is moved by hand, a store that fails on purpose.
 * @module
 */
export { ManualClock } from "./manual_clock.ts";
