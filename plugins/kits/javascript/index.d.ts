// What an author imports as "#sluicegate". The comments of kit/wit say when the gateway calls what.

/** The manifest: what the gateway knows about a plugin before it configures it. `name` is that of plugin.toml by default. */
export interface Manifest {
  name?: string;
  version?: string;
  summary?: string;
  /** The JSON Schema of the configuration. Without one only an empty configuration is accepted. */
  config?: object;
  /** Notes and the values that they must have for `response`, `chunks` and `events` to be called. */
  "response-if"?: Record<string, Json>;
  /** `false` if the plugin never changes a body: only such a stage may fail open. */
  transforms?: boolean;
  /** `true` if `gate.check` refuses every request without credentials. */
  authenticates?: boolean;
  /** Capabilities without which the plugin is of no use, such as `["kv"]`: it is not loaded without the grant. */
  requires?: string[];
  front?: string;
  "early-head"?: boolean;
  adapter?: { vendor: string; health?: string; info?: string };
  /** What the plugin needs, such as `{ memory: "64MiB", cpu: "200ms" }`, if the configuration sets nothing. */
  limits?: { memory?: string; cpu?: string };
}

/** A value in JSON. */
export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

/** Header fields, by name or as pairs. */
export type Fields = Record<string, string | Uint8Array> | [name: string, value: string | Uint8Array][];

/** What a phase returns as a new body: bytes, a text, or a value that is sent as JSON. Nothing: the body stays as it is. */
export type NewBody = Uint8Array | string | object | null | undefined | void;

/** A body as a phase is given it. Nothing is decoded before it is asked for. */
export interface Body {
  readonly bytes: Uint8Array;
  text(): string;
  /** The value of a body in JSON. Throws a fault if it is none: 400 for a request, 502 for a response. */
  json(): any;
  /** The object in the body; `undefined` if the body is not a JSON object. */
  object(): any;
}

/** One event of a stream without its framing. */
export interface Event {
  /** The `event:` value of a server-sent event; "" if there is none. */
  name: string;
  data: string;
  id?: string | null;
}

/** What an exchange was, when it is over. */
export interface Summary {
  id: string;
  route: string;
  method: string;
  path: string;
  client: string;
  status: number;
  error: string;
  upstream: string;
  target: string;
  attempts: number;
  requestBytes: number;
  responseBytes: number;
  events: number;
  durationUs: number;
  firstByteUs: number;
  overheadUs: number;
  /** The notes of the exchange. */
  facts: Record<string, any>;
}

/** A value, or a promise of one, for which StarlingMonkey waits. QuickJS waits for nothing. */
type Awaitable<T> = T | Promise<T>;

/** `export const gate`: a decision on the request head. */
export interface Gate {
  check(): Awaitable<void>;
}

/** `export const request`. Without `head` the plan is `"whole"` if there is a `body`, else `"skip"`. */
export interface Request {
  head?(): Awaitable<"skip" | "look" | "whole" | void>;
  body?(body: Body): Awaitable<NewBody>;
}

/**
 * `export const response`. Without `head` the plan is `"whole"` if there is a `body`, else `"sse"` with `events`, else `"chunks"`
 * with `chunks`.
 */
export interface Response {
  head?(): Awaitable<"skip" | "whole" | "chunks" | "sse" | "ndjson" | "document" | void>;
  body?(body: Body): Awaitable<NewBody>;
}

/** `export const chunks`: the response as bytes. */
export interface Chunks {
  chunk(bytes: Uint8Array, last: boolean): Awaitable<Uint8Array | string | null | undefined | void>;
}

/** `export const events`: the response as events. */
export interface Events {
  batch(events: Event[]): Awaitable<Event[] | null | undefined | void>;
  end?(): Awaitable<Event[] | null | undefined | void>;
}

/** `export const closing`: the end of an exchange. */
export interface Closing {
  closed(error: string): Awaitable<void>;
}

/** `export const observer`: exchanges that are over. */
export interface Observer {
  observe(batch: Summary[]): Awaitable<void>;
}

/** The module that a project with these exports has. */
export type Plugin<Exports extends keyof Phases> = Pick<Phases, Exports> & {
  manifest?: Manifest;
  /** Gets the configuration. A thrown `Error` is shown to the operator; a text that is returned is a line for the log. */
  configure?(config: any): string | void;
};

interface Phases {
  gate: Gate;
  request: Request;
  response: Response;
  chunks: Chunks;
  events: Events;
  closing: Closing;
  observer: Observer;
}

/** Why a stage refuses or fails an exchange: thrown. */
export class Fault extends Error {
  private constructor();
  readonly status: number;
  readonly code: string;
  readonly param?: string;
}

/** A stage's own response: thrown. */
export class Reply {
  private constructor();
  readonly status: number;
}

/** `throw fault(400, "invalid_request", "`n` has to be 1", { param: "n" })`. A status from 400 to 599. */
export function fault(status: number, code: string, message: string, more?: { param?: string; fields?: Fields }): Fault;

/** `throw reply(200, { cached: true }, { reason: "cache.hit" })`, in `gate`, `request` and `response`. A status from 200. */
export function reply(status: number, body?: Uint8Array | string | object, more?: { fields?: Fields; reason?: string }): Reply;

/** The exchange of this instance. Setters throw a `Fault` if they are refused. */
export const exchange: {
  id(): string;
  /** Milliseconds since 1970. */
  receivedMs(): number;
  /** The `path` of the route as configured. */
  route(): string;
  /** The client's address. */
  client(): string;
  attempt(): number;
  method(): string;
  setMethod(method: string): void;
  path(): string;
  setPath(path: string): void;
  query(): string;
  setQuery(query: string): void;
  setUpstream(name: string): void;
  status(): number;
  setStatus(status: number): void;
  /** The header fields of the current direction: of the request in its phases, later of the response. */
  fields(): { name: string; value: string }[];
  get(name: string): string | undefined;
  getBytes(name: string): Uint8Array | undefined;
  set(name: string, value: string | Uint8Array): void;
  append(name: string, value: string | Uint8Array): void;
  remove(name: string): void;
  setResponseField(name: string, value: string | Uint8Array): void;
  requestField(name: string): string | undefined;
  /** The value at a JSON Pointer in the request's body, up to `response.head`. `T` is what you expect there. */
  requestJson<T = any>(pointer: string): T | undefined;
  requestBytes(): number;
  /** A note, which stages and observers share: any value that JSON has. */
  note<T = any>(name: string): T | undefined;
  setNote(name: string, value: unknown): void;
  endBody(): void;
};

type Line = (message: string, fields?: object) => void;
/** Lines in the gateway's log. */
export const log: { trace: Line; debug: Line; info: Line; warn: Line; error: Line };

export const clock: { unixMs(): number; monotonicUs(): number };
/** Random bytes of the gateway. A generator that is seeded in `configure` would be the same in every exchange. */
export const random: { bytes(count: number): Uint8Array };
/** For adapters: the model server of this attempt. */
export const upstreamInfo: { upstream(): string; target(): string; json(pointer: string): any };

export function encode(text: string): Uint8Array;
export function decode(bytes: Uint8Array): string;

/** A message of a chat, with whatever else it has. */
export interface Message {
  role?: string;
  content?: string | ContentPart[] | null;
  [member: string]: any;
}

export interface ContentPart {
  type: string;
  text?: string;
  [member: string]: any;
}

/** A choice of a response (`message`) or of a chunk (`delta`). */
export interface Choice {
  index?: number;
  message?: Message;
  delta?: Message;
  finish_reason?: string | null;
  [member: string]: any;
}

/** A chunk of a stream, or a whole response, in OpenAI's form. */
export interface Chunk {
  id?: string;
  model?: string;
  choices?: Choice[];
  usage?: any;
  [member: string]: any;
}

/** A request for a chat in OpenAI's form. */
export interface Chat {
  model?: string;
  messages?: Message[];
  stream?: boolean;
  [member: string]: any;
}

/** An event with this text as its data, or with this value as JSON. */
export function event(data: string | object, more?: { name?: string; id?: string }): Event;
/** The object in the data of an event; `undefined` for `[DONE]` and whatever else is not a JSON object. */
export function chunkOf(event: Event): Chunk | undefined;
/**
 * Calls `change` with each chunk of a batch. What it returns takes the chunk's place: `undefined` leaves the event as it came, `null`
 * drops it, a list stands for several. The result is `undefined` if nothing has changed.
 */
export function mapChunks(
  events: Event[],
  change: (chunk: Chunk, event: Event) => Chunk | Chunk[] | null | undefined | void,
): Event[] | undefined;
export function choices(chunk: Chunk): Choice[];
export function messages(chat: Chat): Message[];
/** The texts of a message: its content, or the parts of its content that are text. */
export function texts(message: Message): string[];
/** Replaces each text of a message. The result says whether one has changed. */
export function mapTexts(message: Message, change: (text: string) => string): boolean;

/** Holds back the end of a text as long as it may be the beginning of what is looked for. */
export class Window {
  /**
   * `waits(text)`: how many characters at the end have to wait for more. `change(text)`: what becomes of the rest. At most `most`
   * characters wait (4096 by default); then `change` gets them all.
   */
  constructor(rules: { waits: (text: string) => number; change: (text: string) => string; most?: number });
  push(part: string): string;
  end(): string;
}
/** How many characters at the end of a text may be the beginning of one of these words: for `waits`. */
export function beginning(text: string, words: string[]): number;

/** Why a capability did not do what was asked: thrown by the functions of those that plugin.toml lists in `imports`. */
export class CapabilityError extends Error {
  private constructor();
  readonly code: "denied" | "unavailable" | "over-limit" | "invalid";
}
// <import-kv>

type Stored = Uint8Array | string | object;
/** Values by key, which outlive an exchange. `ttlMs`: how long they live; until they are deleted if it is left out. */
export const kv: {
  get(key: string): Uint8Array | undefined;
  getText(key: string): string | undefined;
  getJson<T = any>(key: string): T | undefined;
  set(key: string, value: Stored, more?: { ttlMs?: number }): void;
  /** Sets a value only if there is none: then `true`. */
  insert(key: string, value: Stored, more?: { ttlMs?: number }): boolean;
  /** Adds to a number, 1 by default, and returns the sum. */
  add(key: string, by?: number, more?: { ttlMs?: number }): number;
  delete(key: string): void;
};
// </import-kv>
// <import-rate>

/**
 * A limit: `amount` (1 by default) of `capacity` units, which come back within `perMs`, or, with 0 (the default), when settled; with
 * `per`, all at once at the end of the day or the month in UTC.
 */
export interface Limit {
  name: string;
  subject: string;
  amount?: number;
  capacity: number;
  perMs?: number;
  per?: "day" | "month";
}
export interface Verdict {
  granted: boolean;
  ticket: number;
  standings: { granted: boolean; remaining: number; retryMs?: number; resetMs?: number }[];
}
/** Limits that all exchanges share; a call takes all of them or none. */
export const rate: {
  take(...limits: Limit[]): Verdict;
  /** For this exchange: what is not settled at its end is given back. */
  reserve(...limits: Limit[]): Verdict;
  settle(ticket: number, name: string, used: number): void;
};
// </import-rate>
// <import-http>

/** Requests to servers that the grant lists. Any status is a response. */
export const http: {
  send(request: {
    url: string;
    method?: string;
    fields?: Fields;
    body?: Uint8Array | string | object;
    /** At most 30,000, which is also the default. */
    timeoutMs?: number;
  }): { status: number; fields: { name: string; value: string }[]; get(name: string): string | undefined; body: Body };
};
// </import-http>
// <import-metrics>

/** The plugin's own metrics, as `sluicegate_plugin_PLUGIN__NAME`. Labels must not have values that clients choose. */
export const metrics: {
  /** Adds to a counter, 1 by default. */
  count(name: string, by?: number, labels?: Record<string, string | number>): void;
  observe(name: string, value: number, labels?: Record<string, string | number>): void;
};
// </import-metrics>
