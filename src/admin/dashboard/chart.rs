//! Numbers over time as charts: handed to the script as data, never as code.

use serde::Serialize;

/// Series over one axis of time: `chart` in `parts.html`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::admin) struct Chart {
    /// How it is drawn.
    kind: Kind,
    /// Of the values, as it stands beside them: `req/s`, `µs`.
    unit: &'static str,
    /// Unix seconds.
    at: Vec<i64>,
    /// Each as long as `at`.
    pub(super) series: Vec<Series>,
}

/// How a chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum Kind {
    /// A line each.
    Lines,
    /// One series in bars, a day each.
    Days,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::admin) struct Series {
    /// A word of ours, never of a user.
    pub(super) name: &'static str,
    /// Which colour of the sheet: `accent`, `good`, `warn-bar`, `bad`.
    pub(super) tone: &'static str,
    /// `None`: nothing is known of that time.
    pub(super) values: Vec<Option<f64>>,
}

impl Chart {
    /// A chart of these series, each of which has a value for each time.
    pub(in crate::admin) fn new(
        kind: Kind,
        unit: &'static str,
        at: Vec<i64>,
        series: Vec<Series>,
    ) -> Self {
        Self { kind, unit, at, series }
    }

    /// As the script takes it.
    pub(super) fn data(&self) -> String {
        serde_json::to_string(self).expect("numbers and names can be written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_given_numbers_and_nothing_where_nothing_is_known() {
        let series = Series { name: "p50", tone: "accent", values: vec![Some(1.5), None] };
        let chart = Chart::new(Kind::Lines, "µs", vec![1, 2], vec![series]);
        assert_eq!(
            chart.data(),
            r#"{"kind":"lines","unit":"µs","at":[1,2],"series":[{"name":"p50","tone":"accent","values":[1.5,null]}]}"#
        );
    }
}
