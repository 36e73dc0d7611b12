//! The promises of the metrics.

use std::time::Duration;

use super::{Metrics, PluginMetrics, RouteMetrics, TargetMetrics};
use crate::names::{label, metric};

fn lines(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.encode();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(str::to_owned).collect()
}

#[test]
fn exchange_is_counted_on_its_route() {
    let metrics = Metrics::new();
    let route = metrics.route("/v1/*");
    let ms = Duration::from_millis;
    route.begin();
    route.begin();
    route.first_byte(ms(20));
    route.gap(ms(3));
    route.tokens(5, 7);
    route.end(200, "none", ms(40), Duration::from_micros(30));
    assert_eq!(
        lines(&metrics, metric::REQUESTS),
        [
            r#"sluicegate_requests_total{route="/v1/*",status="200",error="none"} 1"#,
            r#"sluicegate_requests_in_flight{route="/v1/*"} 1"#,
        ]
    );
    assert_eq!(
        lines(&metrics, metric::TOKENS).len(),
        2,
        "both directions, whatever their order"
    );
    let text = metrics.encode();
    for line in [
        r#"sluicegate_tokens_total{route="/v1/*",direction="input"} 5"#,
        r#"sluicegate_tokens_total{route="/v1/*",direction="output"} 7"#,
        r#"sluicegate_request_duration_seconds_bucket{le="0.025",route="/v1/*"} 0"#,
        r#"sluicegate_request_duration_seconds_bucket{le="0.05",route="/v1/*"} 1"#,
        r#"sluicegate_time_to_first_token_seconds_sum{route="/v1/*"} 0.02"#,
        r#"sluicegate_inter_token_seconds_count{route="/v1/*"} 1"#,
        r#"sluicegate_overhead_seconds_bucket{le="0.00005",route="/v1/*"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn handles_of_one_name_count_together() {
    let metrics = Metrics::new();
    let (one, other) = (metrics.plugin("auth"), metrics.plugin("auth"));
    one.call(Duration::from_millis(1500));
    other.call(Duration::from_millis(500));
    let calls = lines(&metrics, metric::PLUGIN_CALLS);
    assert_eq!(calls, [r#"sluicegate_plugin_calls_total{plugin="auth"} 2"#]);
    let time = lines(&metrics, metric::PLUGIN_TIME);
    assert_eq!(
        time,
        [r#"sluicegate_plugin_seconds_total{plugin="auth"} 2.0"#]
    );
}

#[test]
fn plugin_and_target_are_counted() {
    let metrics = Metrics::new();
    let plugin = metrics.plugin("mine");
    plugin.fault("trap");
    plugin.version_live();
    plugin.version_live();
    plugin.version_dropped();
    plugin.log_line_dropped();
    plugin.summary_dropped();
    let target = metrics.target("ollama", "127.0.0.1:11434");
    target.request("ok");
    target.connected();
    target.connected();
    target.disconnected();
    let text = metrics.encode();
    for line in [
        r#"sluicegate_plugin_faults_total{plugin="mine",reason="trap"} 1"#,
        r#"sluicegate_plugin_live_versions{plugin="mine"} 1"#,
        r#"sluicegate_plugin_log_lines_dropped_total{plugin="mine"} 1"#,
        r#"sluicegate_observer_dropped_total{plugin="mine"} 1"#,
        r#"sluicegate_upstream_requests_total{upstream="ollama",target="127.0.0.1:11434",result="ok"} 1"#,
        r#"sluicegate_upstream_connections{upstream="ollama",target="127.0.0.1:11434"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn label_from_the_configuration_cannot_break_the_text() {
    let metrics = Metrics::new();
    let route = metrics.route("/a\"b\\c\nd");
    route.tokens(1, 1);
    let text = metrics.encode();
    assert!(text.contains(r#"route="/a\"b\\c\nd""#), "{text}");
}

#[test]
fn handle_without_metrics_can_be_used() {
    RouteMetrics::default().begin();
    PluginMetrics::default().fault("trap");
    TargetMetrics::default().request("ok");
    assert_eq!(label::ROUTE, "route");
}

#[test]
fn what_nobody_counts_any_more_is_forgotten() {
    let metrics = Metrics::new();
    let empty = metrics.encode();
    for turn in 0..3 {
        let route = metrics.route("/v1/*");
        route.begin();
        route.end(200, "none", Duration::ZERO, Duration::ZERO);
        let plugin = metrics.plugin("auth");
        plugin.fault("trap");
        let target = metrics.target("main", "http://127.0.0.1:1");
        target.request("ok");
        let again = metrics.route("/v1/*");
        drop(route);
        again.begin();
        assert_eq!(
            lines(&metrics, metric::REQUESTS).len(),
            2,
            "in use in turn {turn}"
        );
        drop((again, plugin, target));
        assert_eq!(metrics.encode(), empty, "after turn {turn}");
    }
}
