//! The manifests for Istio and Envoy Gateway.
