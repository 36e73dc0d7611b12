//! The two text formats in which metrics are read: OpenMetrics 1.0, and Prometheus' older one, version 0.0.4, which everything
//! that reads metrics knows.

/// How a client wants to read metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format, version 0.0.4.
    Text,
}

impl Exposition {
    /// What the `accept` fields of a request ask for: OpenMetrics only if it is named.
    pub fn asked<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ranges = accept.into_iter().flat_map(|field| field.split(','));
        let asks = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let refused = |part: &str| {
                let q = part.strip_prefix("q=").and_then(|q| q.parse().ok());
                q.is_some_and(|q: f32| q <= 0.0)
            };
            kind.eq_ignore_ascii_case("application/openmetrics-text") && !parts.any(refused)
        };
        if ranges.any(asks) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The value of `content-type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The whole text, of families in the form of OpenMetrics, each line with its end.
    #[must_use]
    pub fn write(self, families: String) -> String {
        match self {
            Self::OpenMetrics => families + "# EOF\n",
            Self::Text => older(&families),
        }
    }
}

/// In the older format a counter's comments have the name of its samples, with `_total`.
fn older(families: &str) -> String {
    let mut out = String::with_capacity(families.len());
    let mut lines = families.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        // The type stands behind the help.
        let counter = line.strip_prefix("# HELP ").filter(|_| {
            let next = lines.peek().and_then(|next| next.strip_prefix("# TYPE "));
            next.is_some_and(|next| next.trim_end().ends_with(" counter"))
        });
        let kind = line.strip_prefix("# TYPE ");
        let kind = kind.filter(|rest| rest.trim_end().ends_with(" counter"));
        let comment = counter.map(|rest| ("# HELP ", rest));
        match comment.or(kind.map(|rest| ("# TYPE ", rest))) {
            Some((mark, rest)) => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, "\n"));
                out.extend([mark, name, "_total ", rest]);
            }
            None => out.push_str(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_name_it() {
        let asked = |accept: &[&str]| Exposition::asked(accept.iter().copied());
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(&[prometheus]), Exposition::OpenMetrics);
        let second = ["text/html", "Application/OpenMetrics-Text"];
        assert_eq!(asked(&second), Exposition::OpenMetrics);
        for accept in [
            "*/*",
            "text/plain",
            "",
            "application/openmetrics-text;q=0.0",
        ] {
            assert_eq!(asked(&[accept]), Exposition::Text, "{accept}");
        }
        assert_eq!(asked(&[]), Exposition::Text);
    }

    #[test]
    fn a_counters_comments_have_the_name_of_its_samples() {
        let families = "# HELP a First.\n# TYPE a counter\na_total{x=\"# TYPE a counter\"} 1\n\
                        # HELP b counter\n# TYPE b gauge\nb 1\n";
        let text = "# HELP a_total First.\n# TYPE a_total counter\na_total{x=\"# TYPE a counter\"} 1\n\
                    # HELP b counter\n# TYPE b gauge\nb 1\n";
        assert_eq!(Exposition::Text.write(families.into()), text);
        let whole = Exposition::OpenMetrics.write(families.into());
        assert_eq!(whole, format!("{families}# EOF\n"));
    }
}
