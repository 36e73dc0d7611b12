// What an author imports as "#sluicegate".

import * as host from "./host.js";
import * as exchangeKit from "./exchange.js";
import * as logKit from "./log.js";

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

globalThis.console ??= logKit.consoleOver(log);
