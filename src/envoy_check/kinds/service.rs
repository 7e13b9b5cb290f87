//! How the authorizer is asked.

kinds! {
    NO_SERVICE = Error "no-service",
        why: "there is nobody to ask",
        instead: "grpc_service: { envoy_grpc: { cluster_name: authz }, timeout: 0.1s }";
    TIMEOUT_DEFAULT = Note "timeout-default",
        why: "the default is 200 ms: not wrong, and better said than known by heart",
        instead: "timeout: 0.1s";
    TIMEOUT_LONG = Warning "timeout-long",
        why: "while the authorizer hangs, every request hangs as long, with its connection and its memory",
        instead: "timeout: 0.1s; a check takes microseconds, and one that asks the directory some milliseconds";
    TIMEOUT_SHORT = Warning "timeout-short",
        why: "a moment's pause (a busy processor, a reload) refuses good requests",
        instead: "timeout: 0.1s";
    RETRY = Warning "retry-policy",
        why: "its back-off acts as a time-out for each try: checks that are merely slow fail, and load doubles when there is too much of it",
        instead: "leave retry_policy out";
    ELSEWHERE = Warning "asked-elsewhere",
        why: "these requests are judged by somebody else",
        instead: "leave grpc_service and http_service out of check_settings";
    PATH_OVERRIDE = Error "path-override",
        why: "every request is judged as one for that path: where that one may pass, all of them do",
        instead: "path_prefix, and the same in Portcullis' listen.http; or neither of them";
    QUESTION_CHANGED = Error "question-changed",
        why: "the check judges this value, and the service gets what the client sent: with a credential in it, everybody is its holder",
        instead: "leave the header out of authorization_request.headers_to_add";
    GOOGLE_GRPC = Warning "google-grpc",
        why: "this client is no cluster of Envoy: no health check takes a hanging authorizer out, and this check cannot look at where it leads",
        instead: "envoy_grpc: { cluster_name: authz }";
    DIRECTORY_DEADLINE = Warning "directory-deadline",
        why: "Envoy gives up first: the request gets Envoy's bare error, and no decision is recorded",
        instead: "a timeout in Envoy that is longer than the configuration's directory.deadline";
    AUDIT_DEADLINE = Warning "audit-deadline",
        why: "Envoy gives up first: what was decided is recorded as not passed on, and the client sees Envoy's bare error",
        instead: "a timeout in Envoy that is longer than the configuration's audit.deadline";
    REQUEST_TIMEOUT = Note "request-timeout",
        why: "Portcullis stops waiting for the question's end before Envoy does",
        instead: "limits.request_timeout of at least Envoy's timeout";
}
