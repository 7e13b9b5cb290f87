//! Routes.

kinds! {
    DISABLED = Error "check-disabled",
        why: "requests of this route reach the service without a check, and with identity headers as the client wrote them",
        instead: "leave it out; `access: public` in Portcullis' routes lets anybody pass and still takes false identity headers away";
    DISABLED_DIRECT = Note "check-disabled-direct",
        why: "Envoy answers these requests alone, so there is nothing behind the check; they are not recorded either",
        instead: "nothing, where that is meant";
    OPTIONAL_SETTINGS = Note "optional-settings",
        why: "an Envoy that does not know the filter ignores these settings",
        instead: "leave is_optional out";
    FILTER_NAME = Warning "per-route-name",
        why: "settings are found by the filter's name: these belong to no filter and do nothing",
        instead: "the name that the ext_authz filter has in http_filters, as the key";
    REWRITTEN = Note "rewritten-after-check",
        why: "the router rewrites after the check: the service sees another path or host than the one that was judged",
        instead: "nothing, where Portcullis' routes are about what the client asks for";
    HOST_FROM_HEADER = Warning "host-from-header",
        why: "a header that the client sends becomes the host that the service sees, after the check",
        instead: "host_rewrite_literal, or no rewriting";
    CLUSTER_FROM_HEADER = Warning "cluster-from-header",
        why: "a header chooses the service, and the check does not judge it",
        instead: "cluster: the name of the service";
    IDENTITY_SET = Warning "identity-header-set",
        why: "the router changes this header after the check: the service sees another identity than the one that was judged",
        instead: "leave identity headers to Portcullis";
}
