//! Metrics as Prometheus would read them.

use std::collections::BTreeMap;

/// One scrape: the value of each series, by its name with labels as they are printed.
#[derive(Debug, Clone)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            (name.to_string(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        });
        Self(series.collect())
    }

    /// The value of a series that has to be there.
    pub fn get(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("there is no series {series}"))
    }

    /// The value of a series that need not be there.
    pub fn find(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// How often a reason was given.
    pub fn reason(&self, reason: &str) -> u64 {
        let labelled = format!("reason=\"{reason}\"}}");
        self.sum(|name| name.starts_with("portcullis_decisions_total{") && name.ends_with(&labelled))
    }

    /// How many checks were decided.
    pub fn decisions(&self) -> u64 {
        self.sum(|name| name.starts_with("portcullis_decisions_total{"))
    }

    /// How many tokens were remembered.
    pub fn token_hits(&self) -> u64 {
        self.sum(|name| name == "portcullis_token_cache_lookups_total{result=\"hit\"}")
    }

    /// The names of all series.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are small whole numbers")]
    fn sum(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        self.0.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| *value as u64).sum()
    }
}
