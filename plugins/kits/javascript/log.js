// Lines in the gateway's log.

const LEVELS = ["trace", "debug", "info", "warn", "error"];

/** `log.info(message, fields)` and its like, over the contract's `log.write`. */
export function over(host) {
  const write = (level) => (message, fields) => host.write(level, String(message), fields ? JSON.stringify(fields) : "");
  return Object.fromEntries(LEVELS.map((level) => [level, write(level)]));
}

/** A `console` for an engine that has none, and for libraries that use it. */
export function consoleOver(log) {
  const line = (write) => (...values) => write(values.map(shown).join(" "));
  return {
    debug: line(log.debug),
    log: line(log.info),
    info: line(log.info),
    warn: line(log.warn),
    error: line(log.error),
  };
}

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return trace(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

/** An error with its stack. QuickJS leaves the message out of the stack, other engines repeat it there. */
export function trace(error) {
  if (!(error instanceof Error)) return `thrown: ${shown(error)}`;
  const stack = error.stack ?? "";
  const head = `${error.name}: ${error.message}`;
  const text = stack.startsWith(head) ? stack : `${head}\n${stack}`;
  return text.trimEnd();
}
