/**
 * For tests of programs that use this library: a clock that is moved by hand, a store that fails on purpose.
 * @module
 */
export {
  type Fault,
  type FaultPlan,
  type FaultStore,
  faultStore,
  type RequestKind,
  type StoreRequest,
} from "./fault_store.ts";
export { ManualClock } from "./manual_clock.ts";
