//! The filter ext_authz.

kinds! {
    FAILURE_MODE_ALLOW = Error "failure-mode-allow",
        why: "whenever the authorizer cannot be asked in time, every request passes: an attacker only has to make it slow",
        instead: "failure_mode_allow: false and status_on_error: { code: ServiceUnavailable }";
    FAILURE_MODE_HEADER = Note "failure-mode-header",
        why: "it marks requests that passed without an answer, and none should",
        instead: "leave failure_mode_allow_header_add out, with failure_mode_allow: false";
    SHADOW_MODE = Error "shadow-mode",
        why: "answers are written down and not obeyed",
        instead: "shadow_mode: false";
    PARTLY_ENABLED = Error "partly-enabled",
        why: "the others pass without a check",
        instead: "leave filter_enabled out, or deny_at_disable: { default_value: { value: true } } beside it";
    RUNTIME_SWITCH = Warning "runtime-switch",
        why: "whoever can set Envoy's runtime (admin interface, RTDS, a file) turns the check off",
        instead: "leave the runtime key out";
    METADATA_SWITCH = Error "metadata-switch",
        why: "requests whose metadata does not match pass without a check",
        instead: "leave filter_enabled_metadata out, or deny_at_disable: { default_value: { value: true } } beside it";
    CLEAR_ROUTE_CACHE = Error "clear-route-cache",
        why: "after the check the route is looked up again: headers that the check set can lead the request to another service than the one that was judged",
        instead: "clear_route_cache: false";
    STATUS_ON_ERROR = Note "status-on-error",
        why: "a client cannot tell \"try again\" from \"forbidden\", and neither can your monitoring",
        instead: "status_on_error: { code: ServiceUnavailable }";
    STATUS_ON_ERROR_SUCCESS = Error "status-on-error-success",
        why: "a client takes a request that was never executed for a success",
        instead: "status_on_error: { code: ServiceUnavailable }";
    VALIDATE_MUTATIONS = Warning "validate-mutations",
        why: "a header that cannot be sent is found only after it was put in, instead of failing the check",
        instead: "validate_mutations: true";
    MUTATION_RULES = Warning "mutation-rules",
        why: "an answer may change :path, :method and host, and so what is executed after it was judged",
        instead: "decoder_header_mutation_rules: { disallow_system: true, allow_all_routing: false, allow_envoy: false, disallow_is_error: true }";
    RAW_HEADERS = Warning "raw-headers",
        why: "Envoy joins repeated headers by commas and replaces bytes that are no UTF-8 by \"!\": the service sees other headers than the check",
        instead: "encode_raw_headers: true";
    TRANSPORT_VERSION = Note "transport-version",
        why: "what an unset version means has changed between versions of Envoy",
        instead: "transport_api_version: V3";
    OLD_TRANSPORT = Error "old-transport",
        why: "Portcullis answers version 3 only, so no check succeeds",
        instead: "transport_api_version: V3";
    HEADERS_HIDDEN = Warning "headers-hidden",
        why: "the check cannot judge what it does not see, and the service sees it",
        instead: "leave allowed_headers and disallowed_headers out (over HTTP: allow every header that rules look at)";
    CREDENTIAL_HIDDEN = Error "credential-hidden",
        why: "without it every caller is nobody: only public routes pass",
        instead: "leave allowed_headers and disallowed_headers out, or let `authorization` through";
    UPSTREAM_HEADERS = Warning "identity-not-passed-on",
        why: "over HTTP, only what allowed_upstream_headers names reaches the service: without it there are no identity headers, and those that a client wrote itself stay",
        instead: "authorization_response.allowed_upstream_headers with the names of all identity headers";
    CLIENT_HEADERS = Note "all-headers-to-client",
        why: "over HTTP, every header of a refusal goes to the client",
        instead: "authorization_response.allowed_client_headers: { patterns: [{ exact: www-authenticate }, { exact: retry-after }, { exact: cache-control }] }";
}
