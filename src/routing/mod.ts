/**
 * From keys to shards: what writers and readers share, for programs that route on their own.
 * @module
 */
export { xxh3 } from "../bytes/xxh3.ts";
export { compileCel, compileProgram } from "../cel/compile_cel.ts";
export type { CelColumnType, CelExpression, CelOptions, CelProgram, CelValue, NulRule } from "../cel/compile_cel.ts";
export { celRouter, type CelRouterOptions, celRouting, type CelRoutingSpec } from "./cel_router.ts";
export type { AssignedShards, RowAssigner } from "./cel_assigner.ts";
export {
  type CelSharding,
  celSharding,
  celShardingByColumns,
  type CelShardingOptions,
  type ColumnShardingOptions,
  type ShardingColumn,
} from "./cel_sharding.ts";
export { hashRouter } from "./hash_router.ts";
export { canonicalBytes, encodeKey } from "./key.ts";
export type { Key, KeyEncoding } from "./key.ts";
export type { Router, RoutingColumns, RoutingSpec } from "./router.ts";
export { routerOf } from "./router_of.ts";
export type { TargetOptions, VectorMeta, VectorRouter, VectorRouting } from "./vector_router.ts";
export {
  clusterSharding,
  type ClusterShardingOptions,
  type ClusterTraining,
  explicitSharding,
  type ExplicitShardingOptions,
  lshSharding,
  type LshShardingOptions,
  type VectorSharding,
  type VectorTable,
} from "./vector_sharding.ts";
export { hashSharding, singleShard } from "./sharding.ts";
export type { CountedSharding, FixedSharding, HashShardingOptions, Sharding } from "./sharding.ts";
