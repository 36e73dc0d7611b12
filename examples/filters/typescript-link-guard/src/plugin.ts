// Links in responses: those to other hosts than the listed ones are replaced, in whole responses and in streams. A model that was
// talked into it can send what it knows to a stranger by a picture's address, which a client fetches by itself.

import {
  chunkOf,
  choices,
  event,
  exchange,
  type Choice,
  type Chunk,
  type Event,
  type Events,
  type Manifest,
  type Response,
} from "#sluicegate";
import schema from "../config.schema.json";
import { hosts, Links, type Rules } from "./links";

export const manifest: Manifest = {
  version: "0.1.0",
  summary: "Replaces links to hosts that are not listed, in responses and streams",
  config: schema,
  limits: { memory: "64MiB", cpu: "500ms" },
};

interface Config {
  hosts: string[];
  replacement?: string;
  redirect?: string;
}

let rules: Rules;

export function configure(config: Config): void {
  rules = { allows: hosts(config.hosts), replacement: config.replacement ?? "#link-removed", redirect: config.redirect };
}

/** The texts that people see, in messages and deltas. */
const FIELDS = ["content", "reasoning", "reasoning_content", "refusal"] as const;

/** The texts of the response so far, by choice and field. */
const texts = new Map<string, Links>();
/** How a chunk of this stream looks, for one that has to be added. */
let last: Chunk | undefined;

function textOf(choice: Choice, field: string): Links {
  const key = `${choice.index ?? 0}.${field}`;
  const text = texts.get(key) ?? new Links(rules);
  texts.set(key, text);
  return text;
}

/** Says how many links were replaced, for observers. */
function note(): void {
  let refused = 0;
  for (const text of texts.values()) refused += text.refused;
  if (refused > 0) exchange.setNote("links-refused", refused);
}

export const response: Response = {
  head() {
    const form = exchange.get("content-type") ?? "";
    if (form.startsWith("text/event-stream")) return "sse";
    return form.startsWith("application/json") && exchange.status() < 400 ? "whole" : "skip";
  },

  body(body) {
    const whole: Chunk | undefined = body.object();
    if (whole === undefined) return undefined;
    for (const choice of choices(whole)) {
      for (const field of FIELDS) {
        const text = choice.message?.[field];
        if (typeof text === "string") choice.message![field] = complete(choice, field, text);
      }
      if (typeof choice.text === "string") choice.text = complete(choice, "text", choice.text);
    }
    note();
    return whole;
  },
};

function complete(choice: Choice, field: string, text: string): string {
  const links = textOf(choice, field);
  return links.push(text) + links.end();
}

export const events: Events = {
  batch(batch) {
    const out: Event[] = [];
    for (const given of batch) {
      const chunk = chunkOf(given);
      if (chunk === undefined) {
        // `[DONE]`: what is left has to be before it.
        out.push(...rest(), given);
        continue;
      }
      // An error, or the usage: there is nothing to look at.
      if (choices(chunk).length === 0) {
        out.push(given);
        continue;
      }
      choices(chunk).forEach(change);
      last = { ...chunk, usage: undefined, choices: [] };
      out.push({ ...given, data: JSON.stringify(chunk) });
    }
    note();
    return out;
  },

  end: rest,
};

/** Changes the texts of a delta. With the finish reason comes what is left of them. */
function change(choice: Choice): void {
  const delta = choice.delta;
  if (delta !== undefined && delta !== null) {
    for (const field of FIELDS) {
      const part = delta[field];
      if (typeof part === "string") delta[field] = textOf(choice, field).push(part);
      const left = choice.finish_reason ? (texts.get(`${choice.index ?? 0}.${field}`)?.end() ?? "") : "";
      if (left !== "") delta[field] = (delta[field] ?? "") + left;
    }
  }
  if (typeof choice.text === "string") {
    const text = textOf(choice, "text");
    choice.text = text.push(choice.text) + (choice.finish_reason ? text.end() : "");
  }
}

/** Events with what is left of texts whose choice had no finish reason. */
function rest(): Event[] {
  const out: Event[] = [];
  for (const [key, links] of texts) {
    const text = links.end();
    if (text === "") continue;
    const [index, field] = key.split(".") as [string, string];
    const choice: Choice = { index: Number(index), finish_reason: null };
    if (field === "text") choice.text = text;
    else choice.delta = { [field]: text };
    out.push(event({ ...last, choices: [choice] }));
  }
  note();
  return out;
}
