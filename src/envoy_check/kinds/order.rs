//! The order of filters.

kinds! {
    FILTER_DISABLED = Error "filter-disabled",
        why: "the filter is there, and requests pass it by unless their route turns it on",
        instead: "leave `disabled` out";
    FILTER_OPTIONAL = Warning "filter-optional",
        why: "an Envoy that does not know the filter leaves it out and lets everything pass",
        instead: "leave `is_optional` out";
    BEHIND_ROUTER = Error "behind-router",
        why: "the router sends the request on, so filters behind it are never asked",
        instead: "the router as the last of http_filters";
    CONDITIONAL = Error "conditional-check",
        why: "a matcher decides whether the check takes place, and what it leaves out passes",
        instead: "the filter ext_authz itself in http_filters, and `access: public` in Portcullis' routes for what needs no token";
    CACHE_BEFORE = Error "cache-before-check",
        why: "what is in the cache is handed out to anybody, without a check",
        instead: "the cache behind ext_authz, and only for what does not depend on who asks";
    CACHE_BEHIND = Warning "cache-behind-check",
        why: "it stores answers by host and path: what one caller may see is handed out to the next one who passes the check",
        instead: "a cache only for answers that do not depend on who asks (cache-control: private or no-store on all others)";
    ANSWERS_BEFORE = Note "answers-before-check",
        why: "it answers some requests by itself, before they are checked",
        instead: "put it behind ext_authz, where that is not meant";
    REWRITES_BEHIND = Warning "rewrites-behind-check",
        why: "what the service gets is not what was judged",
        instead: "put the filter before ext_authz: then its outcome is judged";
    TRANSCODER_BEHIND = Warning "transcoder-behind-check",
        why: "the check judges the REST path, and the service executes the gRPC method that the transcoder makes of it",
        instead: "the transcoder before ext_authz with rules about /package.Service/Method, or rules that name every REST path of the service";
}
