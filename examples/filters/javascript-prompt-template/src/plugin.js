// Prompt templates and parameters by route, model and tenant. The rules are in rules.js.

import { clock, exchange, fault } from "#sluicegate";
import schema from "../config.schema.json";
import { apply, candidates, compile, NotANumber } from "./rules.js";

export const manifest = {
  version: "0.1.0",
  summary: "Puts a system prompt before chats, with defaults and caps of parameters, by route, model and tenant",
  config: schema,
  limits: { memory: "128MiB", cpu: "1s" },
};

let compiled;

export function configure(config) {
  compiled = compile(config);
  return `${compiled.rules.length} rules`;
}

function context() {
  const date = new Date(clock.unixMs()).toISOString().slice(0, 10);
  return { route: exchange.route(), tenant: exchange.note("tenant") ?? "", date };
}

export const request = {
  /** Without a rule that can fit, the body is not looked at. */
  head() {
    const isPost = exchange.method() === "POST";
    return isPost && candidates(compiled.rules, context()).length > 0 ? "whole" : "skip";
  },

  body(body) {
    const chat = body.object();
    if (chat === undefined) return undefined;
    try {
      const rule = apply(compiled, chat, context());
      if (rule === undefined) return undefined;
      exchange.setNote("prompt-template", rule);
      return chat;
    } catch (error) {
      if (error instanceof NotANumber) throw fault(400, "invalid_request", error.message, { param: error.param });
      throw error;
    }
  },
};
