//! The cluster of the authorizer.

kinds! {
    MISSING = Error "authorizer-missing",
        why: "Envoy starts all the same, and no check succeeds",
        instead: "the name of a cluster that is there";
    HTTP1 = Error "authorizer-http1",
        why: "gRPC needs HTTP/2: no check succeeds",
        instead: "explicit_http_config: { http2_protocol_options: {} } in the cluster's HttpProtocolOptions";
    ORIGINAL_DST = Error "authorizer-original-dst",
        why: "where the client wanted to connect to decides who is asked: a client can bring its own authorizer",
        instead: "type: STATIC with the sidecar's socket";
    PLAINTEXT = Warning "authorizer-plaintext",
        why: "whoever is on the way reads the tokens and can answer in the sidecar's place",
        instead: "the sidecar's Unix socket or a loopback address; else TLS with a trusted_ca";
    UNVERIFIED = Warning "authorizer-unverified",
        why: "without a trusted authority Envoy takes any certificate: whoever is on the way can answer in the sidecar's place",
        instead: "common_tls_context.validation_context with trusted_ca and match_typed_subject_alt_names";
    NO_HEALTH_CHECK = Note "authorizer-health",
        why: "a sidecar that hangs is asked again for every request, which waits for the timeout",
        instead: "health_checks with grpc_health_check: {}, interval: 1s and no_traffic_interval: 1s";
    HEALTH_INTERVAL = Warning "authorizer-health-interval",
        why: "while nothing is asked Envoy looks rarely (every 60 s by default), and leaves a sidecar that is back unused for so long",
        instead: "no_traffic_interval: 1s";
    PANIC = Warning "authorizer-panic",
        why: "with no healthy host, Envoy asks unhealthy ones anyway; those say no at best, and hang at worst",
        instead: "common_lb_config: { healthy_panic_threshold: { value: 0 } }";
    ADDRESS = Warning "authorizer-address",
        why: "Envoy asks somebody else than the sidecar of this configuration",
        instead: "an address of the configuration's listen.grpc";
    UPSTREAM_FILTER = Warning "cluster-filters",
        why: "filters of a cluster run after the check: what the service gets is not what was judged",
        instead: "the filter in http_filters, before ext_authz";
}
