// What the gateway offers to this plugin.

export * as clock from "sluicegate:plugin/clock@{{contract}}";
export * as exchange from "sluicegate:plugin/exchange@{{contract}}";
export * as log from "sluicegate:plugin/log@{{contract}}";
export * as random from "sluicegate:plugin/random@{{contract}}";
export * as upstreamInfo from "sluicegate:plugin/upstream-info@{{contract}}";
// <import-kv>
export * as kv from "sluicegate:plugin/kv@{{contract}}";
// </import-kv>
// <import-rate>
export * as rate from "sluicegate:plugin/rate@{{contract}}";
// </import-rate>
// <import-http>
export * as http from "sluicegate:plugin/http@{{contract}}";
// </import-http>
// <import-metrics>
export * as metrics from "sluicegate:plugin/metrics@{{contract}}";
// </import-metrics>
