//! What `/metrics` says, as numbers.

/// One reading.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The sum of a metric over all its labels.
    pub(crate) fn total(&self, name: &str) -> u64 {
        self.matching(name, &[])
    }

    /// The sum of a metric over what has all these labels, each as `name="value"`.
    pub(crate) fn matching(&self, name: &str, labels: &[&str]) -> u64 {
        let values: Vec<u64> = self
            .0
            .lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let rest = series.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
                    && labels.iter().all(|label| series.contains(label))
            })
            .map(|(_, value)| value.parse().expect("a count is a whole number"))
            .collect();
        assert!(!values.is_empty() || !labels.is_empty(), "no metric {name} in:\n{}", self.0);
        values.iter().sum()
    }
}
