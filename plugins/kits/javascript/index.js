// What an author imports as "#sluicegate".

import * as host from "./host.js";
// <imports>
import * as capabilities from "./capabilities.js";
// </imports>
import * as exchangeKit from "./exchange.js";
import * as logKit from "./log.js";

export { CapabilityError } from "./capabilities.js";
export { chunkOf, choices, event, mapChunks, mapTexts, messages, texts } from "./chat.js";
export { Fault, fault, Reply, reply } from "./stop.js";
export { decode, encode } from "./text.js";
export { beginning, Window } from "./window.js";

export const exchange = exchangeKit.over(host.exchange);
export const log = logKit.over(host.log);
export const clock = { unixMs: () => Number(host.clock.unixMs()), monotonicUs: () => Number(host.clock.monotonicUs()) };
export const random = { bytes: (count) => host.random.bytes(count) };
export const upstreamInfo = {
  upstream: () => host.upstreamInfo.upstream(),
  target: () => host.upstreamInfo.target(),
  json: (pointer) => {
    const text = host.upstreamInfo.json(pointer);
    return text === undefined || text === null ? undefined : JSON.parse(text);
  },
};
// <import-kv>
export const kv = capabilities.kvOver(host.kv);
// </import-kv>
// <import-rate>
export const rate = capabilities.rateOver(host.rate);
// </import-rate>
// <import-http>
export const http = capabilities.httpOver(host.http);
// </import-http>
// <import-metrics>
export const metrics = capabilities.metricsOver(host.metrics);
// </import-metrics>

globalThis.console ??= logKit.consoleOver(log);
