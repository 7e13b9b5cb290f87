//! Prometheus metrics of the webhook, which is a process of its own with nothing of the sidecar's to count.

use prometheus::{Encoder, Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::review::Outcome;
use super::validity::Validity;

/// All metrics of the webhook.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    reviews: IntCounterVec,
    not_after: Gauge,
    loads: IntCounterVec,
    last_load_successful: IntGauge,
    connections: IntGaugeVec,
    connections_refused: IntCounterVec,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Never with the names below: a test creates them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reviews = IntCounterVec::new(
            Opts::new("portcullis_webhook_reviews_total", "Requests for an admission review, by what came of them."),
            &["outcome"],
        )?;
        for outcome in Outcome::ALL {
            reviews.with_label_values(&[outcome.label()]);
        }
        let loads = IntCounterVec::new(
            Opts::new("portcullis_webhook_certificate_loads_total", "Attempts to load the certificate and its key, by result."),
            &["result"],
        )?;
        for result in ["success", "failure"] {
            loads.with_label_values(&[result]);
        }
        let connections = IntGaugeVec::new(Opts::new("portcullis_connections", "Open connections, by listener."), &["listener"])?;
        let connections_refused = IntCounterVec::new(
            Opts::new(
                "portcullis_connections_refused_total",
                "Connections that were closed at once because there were too many, by listener.",
            ),
            &["listener"],
        )?;
        let metrics = Self {
            reviews,
            not_after: Gauge::new(
                "portcullis_webhook_certificate_not_after_timestamp_seconds",
                "When the certificate that is shown expires, in seconds since 1970.",
            )?,
            loads,
            last_load_successful: IntGauge::new(
                "portcullis_webhook_certificate_last_load_successful",
                "Whether the certificate and its key could be loaded the last time they changed.",
            )?,
            connections,
            connections_refused,
            registry,
        };
        let Self { registry, reviews, not_after, loads, last_load_successful, connections, connections_refused } = &metrics;
        registry.register(Box::new(reviews.clone()))?;
        registry.register(Box::new(not_after.clone()))?;
        registry.register(Box::new(loads.clone()))?;
        registry.register(Box::new(last_load_successful.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(connections_refused.clone()))?;
        Ok(metrics)
    }

    /// Counts a request.
    pub fn review(&self, outcome: Outcome) {
        self.reviews.with_label_values(&[outcome.label()]).inc();
    }

    /// Counts an attempt to load the certificate; with what is shown from now on if it succeeded.
    #[expect(clippy::cast_precision_loss, reason = "seconds are exact in a double for 285 million years")]
    pub fn certificate_loaded(&self, shown: Option<&Validity>) {
        self.loads.with_label_values(&[if shown.is_some() { "success" } else { "failure" }]).inc();
        self.last_load_successful.set(i64::from(shown.is_some()));
        if let Some(validity) = shown {
            self.not_after.set(validity.not_after.as_seconds() as f64);
        }
    }

    /// The gauge of open connections and the counter of refused ones for a listener.
    pub fn listener(&self, name: &str) -> (IntGauge, IntCounter) {
        (self.connections.with_label_values(&[name]), self.connections_refused.with_label_values(&[name]))
    }

    /// All of it in Prometheus' text format.
    ///
    /// # Errors
    /// Never: the encoder writes to memory.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
