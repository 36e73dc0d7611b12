// Chats in OpenAI's form: requests, responses, and the chunks of a stream. All of it is what `JSON.parse` makes: members that are
// not known here stay where they are.

import { isObject } from "./body.js";

/** An event whose data is this text, or this value as JSON. */
export function event(data, { name = "", id } = {}) {
  return { name, data: typeof data === "string" ? data : JSON.stringify(data), id };
}

/** The object in the data of an event; `undefined` for `[DONE]` and whatever else is not a JSON object. */
export function chunkOf(event) {
  if (!event.data.startsWith("{") && !event.data.trimStart().startsWith("{")) return undefined;
  try {
    return JSON.parse(event.data);
  } catch {
    return undefined;
  }
}

/**
 * Calls `change` with each chunk of a batch. What it returns takes the chunk's place: `undefined` leaves the event as it came,
 * `null` drops it, a list stands for several. Events without a chunk stay.
 *
 * The result is `undefined` if nothing has changed: then the gateway forwards the bytes that came.
 */
export function mapChunks(events, change) {
  let changed = false;
  const result = [];
  for (const original of events) {
    const chunk = chunkOf(original);
    const next = chunk === undefined ? undefined : change(chunk, original);
    if (next === undefined) {
      result.push(original);
      continue;
    }
    changed = true;
    if (next === null) continue;
    for (const value of Array.isArray(next) ? next : [next]) {
      result.push({ name: original.name, data: JSON.stringify(value), id: original.id });
    }
  }
  return changed ? result : undefined;
}

/** The choices of a chunk or of a response; none if it has none, as an error or a last chunk with the usage. */
export function choices(chunk) {
  return Array.isArray(chunk.choices) ? chunk.choices.filter(isObject) : [];
}

/** The messages of a request; none if it has none. */
export function messages(chat) {
  return Array.isArray(chat.messages) ? chat.messages.filter(isObject) : [];
}

/** The texts of a message: of its content, or of the parts of its content that are text. */
export function texts(message) {
  const content = message.content;
  if (typeof content === "string") return [content];
  if (!Array.isArray(content)) return [];
  return content.filter(isText).map((part) => part.text);
}

/** Replaces each text of a message by what `change` makes of it. The result says whether one has changed. */
export function mapTexts(message, change) {
  let changed = false;
  const replace = (owner, member) => {
    const next = change(owner[member]);
    if (next === owner[member]) return;
    owner[member] = next;
    changed = true;
  };
  if (typeof message.content === "string") {
    replace(message, "content");
  } else if (Array.isArray(message.content)) {
    for (const part of message.content.filter(isText)) replace(part, "text");
  }
  return changed;
}

function isText(part) {
  return isObject(part) && typeof part.text === "string";
}
