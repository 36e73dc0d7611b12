// The component's exports: what plugin.toml lists, around the author's module.

import * as author from "../src/plugin";
import { log, random } from "./index.js";
import { wrap } from "./plugin.js";

const plugin = wrap(author, { name: "{{name}}", exports: [{{exports}}] }, { log, random });

export const { describe, configure } = plugin;
// <gate>
export const gate = plugin.gate;
// </gate>
// <request>
export const request = plugin.request;
// </request>
// <response>
export const response = plugin.response;
// </response>
// <chunks>
export const chunks = plugin.chunks;
// </chunks>
// <events>
export const events = plugin.events;
// </events>
// <closing>
export const closing = plugin.closing;
// </closing>
// <observer>
export const observer = plugin.observer;
// </observer>
