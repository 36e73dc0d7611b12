// What the gateway offers to this plugin.

export * as clock from "sluicegate:plugin/clock@{{contract}}";
export * as exchange from "sluicegate:plugin/exchange@{{contract}}";
export * as log from "sluicegate:plugin/log@{{contract}}";
export * as random from "sluicegate:plugin/random@{{contract}}";
export * as upstreamInfo from "sluicegate:plugin/upstream-info@{{contract}}";
