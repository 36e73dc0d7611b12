// The rules: which one fits a chat, and what it makes of it. Nothing here knows the gateway, so that tests run in Node.

/** A parameter that cannot be capped, as it is not a number. */
export class NotANumber extends Error {
  constructor(param) {
    super(`\`${param}\` has to be a number`);
    this.param = param;
  }
}

const BUILT_IN = ["model", "tenant", "route", "date"];
const LIMITS = ["max_tokens", "max_completion_tokens"];
/** Members of a chat that are no parameters: a rule that set or removed them would make another chat of it. */
const NOT_PARAMETERS = ["messages", "model", "stream"];

/** The rules of a configuration, ready to be used. Throws an error that names all problems. */
export function compile({ rules, variables = {} }) {
  const problems = Object.keys(variables)
    .filter((name) => BUILT_IN.includes(name))
    .map((name) => `variables.${name}: this variable has a value already`);
  const known = [...new Set([...BUILT_IN, ...Object.keys(variables)])];
  const compiled = rules.map((rule, number) => {
    for (const name of variablesIn(rule.system ?? "")) {
      if (!known.includes(name)) {
        problems.push(`rules[${number}].system: there is no variable {{${name}}}; there are ${known.join(", ")}`);
      }
    }
    for (const member of ["defaults", "caps", "remove"]) {
      const names = Array.isArray(rule[member]) ? rule[member] : Object.keys(rule[member] ?? {});
      for (const name of names.filter((it) => NOT_PARAMETERS.includes(it))) {
        problems.push(`rules[${number}].${member}: \`${name}\` is not a parameter`);
      }
    }
    return { place: "before", defaults: {}, caps: {}, remove: [], ...rule, fitsModel: pattern(rule.model), fitsTenant: pattern(rule.tenant) };
  });
  if (problems.length > 0) throw new Error(problems.join("\n"));
  return { rules: compiled, variables };
}

/** Those of the rules that may fit a request whose body is not known yet. */
export function candidates(rules, { route, tenant }) {
  return rules.filter((rule) => (rule.route ?? route) === route && rule.fitsTenant.test(tenant));
}

/**
 * Applies the first rule that fits, and returns its name; `undefined` if none fits, or if it is no chat.
 *
 * `context` has the values of the built-in variables but `model`. Throws `NotANumber`.
 */
export function apply({ rules, variables }, chat, context) {
  if (!Array.isArray(chat.messages) || typeof chat.model !== "string") return undefined;
  const rule = candidates(rules, context).find((it) => it.fitsModel.test(chat.model));
  if (rule === undefined) return undefined;
  for (const name of rule.remove) delete chat[name];
  for (const [name, value] of Object.entries(rule.defaults)) chat[name] ??= value;
  for (const [name, most] of Object.entries(rule.caps)) cap(chat, name, most);
  if (rule.system !== undefined) {
    const values = { ...variables, ...context, model: chat.model };
    const text = rule.system.replace(/\{\{([^{}]*)\}\}/g, (_, name) => values[name.trim()]);
    chat.messages = withSystem(chat.messages, text, rule.place);
  }
  return rule.name;
}

function cap(chat, name, most) {
  const names = name === "max_tokens" ? LIMITS : [name];
  const sent = names.filter((it) => chat[it] !== undefined && chat[it] !== null);
  // A limit that a client may leave out would be none.
  if (sent.length === 0 && name === "max_tokens") chat.max_tokens = most;
  for (const it of sent) {
    // A model server may read "9000" as a number.
    if (typeof chat[it] !== "number") throw new NotANumber(it);
    chat[it] = Math.min(chat[it], most);
  }
}

function withSystem(messages, text, place) {
  const isSystem = (message) => message?.role === "system" || message?.role === "developer";
  const own = messages.find(isSystem);
  if (place === "replace") return [{ role: "system", content: text }, ...messages.filter((it) => !isSystem(it))];
  if (own === undefined) return [{ role: "system", content: text }, ...messages];
  // One message: many models take a single system message only.
  if (place !== "if-missing") own.content = joined(own.content, text, place);
  return messages;
}

function joined(content, text, place) {
  if (Array.isArray(content)) {
    const part = { type: "text", text };
    return place === "before" ? [part, ...content] : [...content, part];
  }
  const own = content ?? "";
  if (own === "") return text;
  return place === "before" ? `${text}\n\n${own}` : `${own}\n\n${text}`;
}

function variablesIn(template) {
  return [...template.matchAll(/\{\{([^{}]*)\}\}/g)].map(([, name]) => name.trim());
}

/** A regular expression for a text in which `*` stands for any characters. */
function pattern(text = "*") {
  const escaped = text.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join("[^]*")}$`);
}
