// Finds links in a text that arrives in parts, and decides about each by its host, as soon as that is known.
//
// A browser reads more as an address than people write: backslashes for slashes, a name before an `@`, entities and escapes that
// Markdown and HTML take away. What is unusual counts as a link, and its host is then on nobody's list.

/** What becomes of links. */
export interface Rules {
  /** Whether links to this host pass. */
  allows(host: string): boolean;
  /** What stands in the place of other links. */
  replacement: string;
  /** Or, the beginning of an address to which they are added. */
  redirect?: string;
}

const COLON = String.raw`(?:\\?:|&#0*58;|&#x0*3a;|&colon;)`;
const SLASH = String.raw`(?:\\?/|\\|&#0*47;|&#x0*2f;|&sol;)`;
/** What a link begins with: a scheme, the name that everybody knows, or two slashes where only an address can be. */
const START = new RegExp(
  String.raw`(?<![a-z0-9])(?:https?${COLON}${SLASH}+|www\.)|(?<=[(<"'=])${SLASH}{2,}`,
  "i",
);
/** The end of a text that may become the beginning of a link. Longer runs of such characters are none. */
const BEGINNING =
  /(?<![a-z0-9])(?:h|ht|htt|https?[\\&#a-z0-9;:/]{0,40}|w|ww|www)$|(?<=[(<"'=])[\\/&](?:[\\/&#a-z0-9;]{0,40})$/i;
/** The end of a link's host, with port and name. A browser takes `。` for a dot, so what follows it matters. */
const HOST_END = /[\s<>"'`)\]}|/\\?#]|[，、；：？！）》」』】。](?![a-z0-9])/i;
/** The end of a link. */
const END = /[\s<>"'`)\]}|]|[，、；：？！）》」』】。](?![a-z0-9])/i;
/** Behind a link, these belong to the sentence. */
const PUNCTUATION = /[.,;:!?*_~，、；：？！）》」』】。]+$/;
/** The most characters of a host with port and name. A longer one is on nobody's list. */
const HOST_MAX = 300;

/** What follows in the text: words, the rest of a link that passes, or the rest of one that does not. */
type Place = "text" | "allowed" | "refused";

/** One text, such as the content of one choice. */
export class Links {
  #rules: Rules;
  /** What is not decided yet. */
  #held = "";
  /** The last character before it: a link does not begin in the middle of a word. */
  #before = "";
  #place: Place = "text";
  /** How many links did not pass. */
  refused = 0;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  /** Takes a part of the text, and returns what is decided. */
  push(part: string): string {
    return this.#run(this.#held + part, false);
  }

  /** The rest of the text: nothing follows. */
  end(): string {
    return this.#run(this.#held, true);
  }

  #run(text: string, last: boolean): string {
    let out = "";
    while (text !== "") {
      const place = this.#place;
      const [done, rest] = this.#place === "text" ? this.#words(text, last) : this.#link(text, last);
      out += done;
      if (rest === text && this.#place === place) break;
      this.#before = text.slice(0, text.length - rest.length).slice(-1) || this.#before;
      text = rest;
    }
    this.#held = text;
    return out;
  }

  /** Words up to the next link. The result is what goes out, and what is left of the text. */
  #words(text: string, last: boolean): [string, string] {
    const context = this.#before.length;
    const whole = this.#before + text;
    const start = START.exec(whole);
    if (start === null) {
      const waits = last ? -1 : whole.search(BEGINNING);
      const cut = waits < context ? (waits < 0 ? text.length : 0) : waits - context;
      return [text.slice(0, cut), text.slice(cut)];
    }
    const begins = Math.max(start.index - context, 0);
    const behind = whole.slice(start.index + start[0].length);
    const end = find(HOST_END, behind, last);
    if (end < 0 && !last && behind.length <= HOST_MAX) return [text.slice(0, begins), text.slice(begins)];
    const isName = start[0].toLowerCase().startsWith("www");
    const host = (isName ? start[0] : "") + (end < 0 ? behind : behind.slice(0, end));
    const rest = text.slice(begins);
    // A browser takes a backslash for a slash, and Markdown takes it away: `a.com\.b.com` is two hosts.
    if (behind[end] !== "\\" && host.length <= HOST_MAX && this.#rules.allows(hostOf(host))) {
      this.#place = "allowed";
      return [text.slice(0, begins) + start[0], rest.slice(start[0].length)];
    }
    this.#place = "refused";
    this.refused++;
    return [text.slice(0, begins) + (this.#rules.redirect ?? this.#rules.replacement), rest];
  }

  /** The rest of a link. */
  #link(text: string, last: boolean): [string, string] {
    const end = find(END, text, last);
    const link = end < 0 ? text : text.slice(0, end);
    const length = link.length - (PUNCTUATION.exec(link)?.[0].length ?? 0);
    // Half of a surrogate pair, and what may yet belong to the sentence, wait.
    const waits = end < 0 && !last;
    const cut = waits && /[\ud800-\udbff]/.test(text[length - 1] ?? "") ? length - 1 : length;
    const done = this.#place === "allowed" ? text.slice(0, cut) : this.#encoded(text.slice(0, cut));
    if (!waits) this.#place = "text";
    return [done, text.slice(cut)];
  }

  /** A part of a refused link: it is left out, or a part of an address that leads elsewhere. */
  #encoded(part: string): string {
    if (this.#rules.redirect === undefined) return "";
    return encodeURIComponent(part.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd"));
  }
}

/** Where an end is; -1 as long as it depends on what follows. */
function find(end: RegExp, text: string, last: boolean): number {
  const at = text.search(end);
  return !last && at === text.length - 1 && text[at]! > "\x7f" ? -1 : at;
}

/** The host in what stands between the slashes and the path, in lower case. */
function hostOf(authority: string): string {
  const host = authority.slice(authority.lastIndexOf("@") + 1).replace(/:\d*$/, "");
  return host.replace(PUNCTUATION, "").toLowerCase();
}

/** The rule of a list of hosts. Throws an error that names those which cannot be. */
export function hosts(list: string[]): (host: string) => boolean {
  const exact = new Set<string>();
  const below: string[] = [];
  const wrong = list.filter((it) => !/^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(it));
  if (wrong.length > 0) {
    throw new Error(wrong.map((it) => `hosts: \`${it}\` is no host: write example.com, or *.example.com for every host below it`).join("\n"));
  }
  for (const host of list.map((it) => it.toLowerCase())) {
    if (host.startsWith("*.")) below.push(host.slice(1));
    else exact.add(host);
  }
  return (host) => exact.has(host) || below.some((suffix) => host.endsWith(suffix) && host.length > suffix.length);
}
