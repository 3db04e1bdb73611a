/**
 * For tests of programs that use this library: a clock that is moved by hand, a store that fails on purpose, a
 * simulation of programs that share a store over an unreliable network, the recall of searches, and the contract of
 * shard engines for those who make one.
 * @module
 */
export {
  type BackendCheck,
  backendContract,
  BackendContractError,
  type BackendContractOptions,
} from "./backend_contract.ts";
export {
  type Fault,
  type FaultPlan,
  type FaultStore,
  faultStore,
  type RequestKind,
  type StoreRequest,
} from "./fault_store.ts";
export { ManualClock } from "./manual_clock.ts";
export { type RankedMatch, recallAtK } from "./recall.ts";
export {
  runScenario,
  type ScenarioActor,
  type ScenarioContext,
  ScenarioError,
  type ScenarioInvariant,
  type ScenarioOptions,
  type ScenarioResult,
  type ScenarioState,
} from "./scenario.ts";
export { SeededRandom } from "./seeded_random.ts";
export {
  type SimulatedClientOptions,
  type SimulatedClientStore,
  type SimulatedEvent,
  type SimulatedFaults,
  type SimulatedStore,
  simulatedStore,
  type SimulationOptions,
} from "./simulated_store.ts";
export type { RepeatingClock } from "./simulated_time.ts";
