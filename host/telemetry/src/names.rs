//! All metrics, labels and common log fields, with their meaning.
//!
//! Dashboards, alerts and log queries depend on these names, so a change here is a breaking change.

/// Metrics. Counters get `_total` when they are written out.
pub mod metric {
    /// Counter, by `route`, `status` and `error`: exchanges that have ended.
    pub const REQUESTS: &str = "sluicegate_requests";
    /// Gauge, by `route`: exchanges that are running.
    pub const IN_FLIGHT: &str = "sluicegate_requests_in_flight";
    /// Whether the state that gateways share can be reached.
    pub const STATE_REACHABLE: &str = "sluicegate_state_reachable";
    /// Exchanges that go on without their clients.
    pub const ABANDONED: &str = "sluicegate_abandoned";
    /// Exchanges that went on, or could not.
    pub const ABANDONED_ENDS: &str = "sluicegate_abandoned_ends";
    /// Histogram of seconds, by `route`: from the request head to the end of the response.
    pub const DURATION: &str = "sluicegate_request_duration_seconds";
    /// Histogram of seconds, by `route`: from the request head to the first byte of the response body; in a stream, the
    /// time to the first token.
    pub const FIRST_BYTE: &str = "sluicegate_time_to_first_token_seconds";
    /// Histogram of seconds, by `route`: between two chunks of a response; in a stream, the time between tokens.
    pub const GAP: &str = "sluicegate_inter_token_seconds";
    /// Counter, by `route` and `direction`: tokens, as the model servers report them.
    pub const TOKENS: &str = "sluicegate_tokens";
    /// Histogram of seconds, by `route`: time of an exchange that the stages of its pipeline took.
    pub const OVERHEAD: &str = "sluicegate_overhead_seconds";
    /// Counter, by `plugin`: calls into the plugin.
    pub const PLUGIN_CALLS: &str = "sluicegate_plugin_calls";
    /// Counter of seconds, by `plugin`: time inside the plugin.
    pub const PLUGIN_TIME: &str = "sluicegate_plugin_seconds";
    /// Counter, by `plugin` and `reason`: traps, missed budgets and broken contracts.
    pub const PLUGIN_FAULTS: &str = "sluicegate_plugin_faults";
    /// Gauge, by `plugin`: versions that are in force or still have exchanges.
    pub const PLUGIN_VERSIONS: &str = "sluicegate_plugin_live_versions";
    /// Counter, by `plugin`: versions that were rolled back because their faults rose.
    pub const PLUGIN_ROLLBACKS: &str = "sluicegate_plugin_rollbacks";
    /// Counter, by `plugin`: log lines beyond the limit of a call.
    pub const PLUGIN_LOG_DROPPED: &str = "sluicegate_plugin_log_lines_dropped";
    /// Before the name of a metric that a plugin defines, and the plugin's own name and `__`: see `metrics` in
    /// `wit/capabilities.wit`.
    pub const PLUGIN_PREFIX: &str = "sluicegate_plugin_";
    /// Gauge: bytes of bodies that are held for exchanges, beyond the first 64 KiB of each.
    pub const MEMORY: &str = "sluicegate_body_memory_bytes";
    /// Counter, by `reason`: exchanges that were refused because a limit was reached: `entrance`, `exchanges`, `sandboxes` or
    /// `memory`.
    pub const REFUSED: &str = "sluicegate_overloaded";
    /// Counter: log lines that were dropped because standard output was not read fast enough.
    pub const LOG_DROPPED: &str = "sluicegate_log_lines_dropped";
    /// Counter: exchanges whose spans were dropped because the collector was slow or did not take them.
    pub const SPANS_DROPPED: &str = "sluicegate_spans_dropped";
    /// Counter, by `plugin`: exchanges that an observer did not get because its queue was full.
    pub const OBSERVER_DROPPED: &str = "sluicegate_observer_dropped";
    /// Counter, by `upstream`, `target` and `result`: requests to a model server.
    pub const UPSTREAM_REQUESTS: &str = "sluicegate_upstream_requests";
    /// Counter, by `upstream`, `target` and `result` (`freed` or `failed`): models that were unloaded because they were
    /// stalled.
    pub const UPSTREAM_UNLOADS: &str = "sluicegate_upstream_unloads";
    /// Counter, by `upstream`, `target` and `result`: attempts that failed in a way that another one might mend, by what came next:
    /// `retried`, `nothing_left` (no other target, or the most attempts) or `over_budget`.
    pub const UPSTREAM_RETRIES: &str = "sluicegate_upstream_failed_attempts";
    /// Counter, by `upstream`, `target` and `reason` (`full`, `timeout` or `gone`): attempts that did not get a place at a model server
    /// with `max-in-flight`.
    pub const UPSTREAM_REFUSED: &str = "sluicegate_upstream_refused";
    /// Gauge, by `upstream`, `target` and `state` (`closed`, `half-open` or `open`): 1 for the state in which the breaker is.
    pub const UPSTREAM_BREAKER: &str = "sluicegate_upstream_breaker";
    /// Gauge, by `upstream` and `target`: attempts at a model server that are running.
    pub const UPSTREAM_IN_FLIGHT: &str = "sluicegate_upstream_in_flight";
    /// Gauge, by `upstream` and `target`: attempts that wait for a place at a model server with `max-in-flight`.
    pub const UPSTREAM_WAITING: &str = "sluicegate_upstream_waiting";
    /// Histogram of seconds, by `upstream` and `target`: how long attempts waited for a place at a model server with
    /// `max-in-flight`.
    pub const UPSTREAM_WAIT: &str = "sluicegate_upstream_queue_seconds";
    /// Gauge, by `upstream` and `name`: addresses of a name that are model servers.
    pub const UPSTREAM_ADDRESSES: &str = "sluicegate_upstream_addresses";
    /// Counter, by `upstream`, `name` and `result` (`ok` or `failed`): lookups of a name whose addresses are model servers.
    pub const UPSTREAM_LOOKUPS: &str = "sluicegate_upstream_lookups";
    /// Gauge: 1 if the last configuration that was read is in force, 0 if it was refused.
    pub const RELOAD_SUCCESSFUL: &str = "sluicegate_config_last_reload_successful";
    /// Gauge of seconds since 1970: when a configuration was last put into force.
    pub const RELOAD_TIME: &str = "sluicegate_config_last_reload_success_timestamp_seconds";
    /// Gauge, by `upstream` and `target`: open connections to a model server.
    pub const UPSTREAM_CONNECTIONS: &str = "sluicegate_upstream_connections";
}

/// Labels. Each has values from a closed set: the configuration, or an enumeration in the code.
pub mod label {
    /// The route's path as configured, or "" where none matched.
    pub const ROUTE: &str = "route";
    /// The HTTP status that the client got; 0 if it left before there was one.
    pub const STATUS: &str = "status";
    /// The kind of failure, `none`, or `cancelled` if the client left.
    pub const ERROR: &str = "error";
    /// `input` or `output`.
    pub const DIRECTION: &str = "direction";
    /// The plugin's name in the configuration.
    pub const PLUGIN: &str = "plugin";
    /// Why a call of a plugin failed, or which limit was reached.
    pub const REASON: &str = "reason";
    /// The upstream's name in the configuration.
    pub const UPSTREAM: &str = "upstream";
    /// The name of model servers as configured, such as `dns+http://vllm.ns.svc:8000`.
    pub const NAME: &str = "name";
    /// The model server's address as configured, one of the addresses of a name, or the address of the shared state.
    pub const TARGET: &str = "target";
    /// The state of a breaker.
    pub const STATE: &str = "state";
    /// How a request to a model server ended, or what came next; how an exchange without its client ended.
    pub const RESULT: &str = "result";
}

/// Log fields.
pub mod field {
    /// The time in UTC with milliseconds, in the form of RFC 3339.
    pub const TIME: &str = "ts";
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub const LEVEL: &str = "level";
    /// A sentence for people.
    pub const MESSAGE: &str = "msg";
    /// The module that wrote the line; lines of plugins have [`PLUGIN_TARGET`].
    pub const TARGET: &str = "target";
    /// The request id, the same in every layer.
    pub const REQUEST: &str = "req";
    /// The route's path as configured.
    pub const ROUTE: &str = "route";
    /// The plugin's name in the configuration.
    pub const PLUGIN: &str = "plugin";
    /// The HTTP status that the client got.
    pub const STATUS: &str = "status";
    /// The error code that the client got.
    pub const CODE: &str = "code";
    /// The cause of a failure; never shown to a client.
    pub const ERROR: &str = "error";
    /// A JSON object, as text, whose members become fields of the line; only in lines of plugins.
    pub const FIELDS: &str = "fields";

    /// The target of lines that plugins write.
    pub const PLUGIN_TARGET: &str = "sluicegate::plugin";
}
