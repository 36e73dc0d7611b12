// {{name}}: an example rule for each phase in which the plugin takes part. Change it to your own.
//
// `configure` runs once, when the gateway loads the plugin. Every exchange then gets its own instance, made from the memory as
// `configure` left it: variables of this module are not shared with other exchanges.

// <gate|response|chunks|events|closing|observer>
import {
  // <response|events>
  choices,
  // </response|events>
  // <gate|response|chunks|closing>
  exchange,
  // </gate|response|chunks|closing>
  // <gate>
  fault,
  // </gate>
  // <closing|observer>
  log,
  // </closing|observer>
  // <events>
  mapChunks,
  // </events>
} from "#sluicegate";
// </gate|response|chunks|events|closing|observer>
// <gate|request|response|events>
import schema from "../config.schema.json";
// </gate|request|response|events>

export const manifest = {
  version: "0.1.0",
  summary: "An example",
  // <gate|request|response|events>
  config: schema,
  // </gate|request|response|events>
  limits: { memory: "32MiB", cpu: "100ms" },
};
// <gate|request|response|events>

/** What the operator writes. The gateway has checked it against the schema. */
let config;

export function configure(given) {
  config = given;
}
// </gate|request|response|events>
// <gate>

export const gate = {
  /** Refuses requests without the header field, before anything of their body is read. */
  check() {
    if (exchange.get(config.header) === undefined) {
      throw fault(401, "missing_header", `send the header field ${config.header}`);
    }
  },
};
// </gate>
// <request>

export const request = {
  /** Sets the model. A body that is returned as `undefined` stays as it is. */
  body(body) {
    const chat = body.object();
    if (chat?.model === undefined) return undefined;
    chat.model = config.model;
    return chat;
  },
};
// </request>
// <response>

export const response = {
  /** Says how the body is to be seen, by its form. Errors come here, too: `exchange.status()` tells them apart. */
  head() {
    exchange.set("x-plugin", "{{name}}");
    const form = exchange.get("content-type") ?? "";
    if (form.startsWith("application/json")) return "whole";
    // <events>
    if (form.startsWith("text/event-stream")) return "sse";
    // </events>
    // <chunks>
    return "chunks";
    // </chunks>
    // <!chunks>
    return "skip";
    // </!chunks>
  },

  /** Replaces the word in a whole response. */
  body(body) {
    const whole = body.object();
    if (whole === undefined) return undefined;
    for (const choice of choices(whole)) replace(choice.message);
    return whole;
  },
};
// </response>
// <chunks>

let seen = 0;

export const chunks = {
  /** Counts the bytes of other responses as they arrive, and says how many there were. */
  chunk(bytes, last) {
    seen += bytes.length;
    if (last) exchange.setNote("bytes", seen);
  },
};
// </chunks>
// <events>

export const events = {
  /**
   * Replaces the word in the events of a stream. A model may send a word in two events: hold the end of a text back by a `Window` if
   * that matters.
   */
  batch(events) {
    return mapChunks(events, (chunk) => {
      for (const choice of choices(chunk)) replace(choice.delta);
      return chunk;
    });
  },
};
// </events>
// <response|events>

/** Replaces the word in the text of a message, or of a part of one. */
function replace(message) {
  if (typeof message?.content === "string") {
    message.content = message.content.replaceAll(config.word, config.by);
  }
}
// </response|events>
// <closing>

export const closing = {
  /** The exchange is over, however it ended. */
  closed(error) {
    log.info("an exchange is over", { status: exchange.status(), failure: error });
  },
};
// </closing>
// <observer>

export const observer = {
  /** Exchanges that are over, off the path of traffic. */
  observe(batch) {
    for (const { id, status, durationUs } of batch) {
      log.info("an exchange was observed", { id, status, milliseconds: Math.round(durationUs / 1000) });
    }
  },
};
// </observer>
