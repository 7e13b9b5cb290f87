//! HTTP connection managers and the listeners around them.

kinds! {
    NO_EXT_AUTHZ = Error "no-ext-authz",
        why: "nothing that comes in here is checked",
        instead: "the filter envoy.filters.http.ext_authz, last before the router (see envoy/sidecar.yaml)";
    TCP_UNCHECKED = Warning "tcp-unchecked",
        why: "connections pass here whose requests nobody looks at",
        instead: "an HTTP connection manager with ext_authz, or a listener that only what may pass can reach";
    TCP_EXT_AUTHZ = Warning "tcp-ext-authz",
        why: "it asks about connections, and Portcullis judges requests: it refuses what has no HTTP request in it",
        instead: "an HTTP connection manager with the HTTP filter ext_authz";
    OUTBOUND = Note "outbound-listener",
        why: "what goes out through here is no request to a service behind this Envoy",
        instead: "nothing, where traffic_direction says the truth";
    NORMALIZE_PATH = Warning "normalize-path",
        why: "routes and the service may read /a/../admin as another path than the check; Portcullis refuses such paths, and the routes before it match them as they are",
        instead: "normalize_path: true";
    MERGE_SLASHES = Warning "merge-slashes",
        why: "//admin is another path than /admin for routes, and the same one for many services",
        instead: "merge_slashes: true";
    ESCAPED_SLASHES = Warning "escaped-slashes",
        why: "a service that decodes %2F and %5C sees other segments than the route and the check",
        instead: "path_with_escaped_slashes_action: REJECT_REQUEST (or UNESCAPE_AND_REDIRECT, for browsers)";
    REMOTE_ADDRESS = Warning "use-remote-address",
        why: "x-forwarded-for, x-forwarded-proto and x-envoy-* are believed as the client sends them",
        instead: "use_remote_address: true, where clients connect to this Envoy; leave it where only a proxy of yours does";
    TRUSTED_HOPS = Note "trusted-hops",
        why: "so many addresses of x-forwarded-for are believed; with fewer proxies in front than that, the client chooses its own address",
        instead: "xff_num_trusted_hops: exactly as many as there are proxies of yours in front, and no way around them";
    INTERNAL_ADDRESSES = Warning "internal-addresses",
        why: "whom it counts as internal may set x-envoy-* headers, which change time-outs, retries and hosts",
        instead: "leave internal_address_config out, or name the few addresses of your own";
    CLIENT_CERT_HEADER = Warning "client-cert-header",
        why: "the service sees an x-forwarded-client-cert in which a client wrote what it liked",
        instead: "forward_client_cert_details: SANITIZE_SET, with set_current_client_cert_details: { uri: true }";
    ANY_DOMAIN = Warning "any-domain",
        why: "any Host is taken, also two Host lines joined by a comma, and a name that somebody else points at this address (DNS rebinding)",
        instead: "domains: the hosts that are served";
    VHOST_HEADER = Warning "vhost-header",
        why: "a header chooses the virtual host, and the check judges the Host that the service sees",
        instead: "leave vhost_header out";
    UNDERSCORES = Warning "underscore-headers",
        why: "many servers read x_user_id and x-user-id as one name: a second spelling of an identity header",
        instead: "common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }";
    HOST_SPELLING = Note "host-spelling",
        why: "example.com, example.com:443 and example.com. are different hosts for routes, and one host for the check",
        instead: "strip_any_host_port: true and strip_trailing_host_dot: true";
    TIMEOUTS = Note "request-timeouts",
        why: "a client that sends slowly holds a connection and its memory for as long as it likes",
        instead: "request_headers_timeout: 10s and request_timeout: 60s";
    SCHEME = Note "scheme-rewritten",
        why: "the check sees this scheme, whatever the client used",
        instead: "leave scheme_header_transformation out, or make sure that no rule depends on the scheme";
    CHUNKED_LENGTH = Warning "chunked-length",
        why: "a request with both content-length and chunked encoding is how one request is smuggled inside of another",
        instead: "leave http_protocol_options.allow_chunked_length out";
    UPGRADE = Note "upgrade",
        why: "an upgraded connection is checked once, when it begins, and then carries anything for as long as it lasts",
        instead: "leave the upgrade out where it is not needed; Portcullis refuses upgrades but for routes with websocket: true";
    CONNECT = Warning "connect-upgrade",
        why: "a tunnel is checked once, by a host name alone, and then carries anything",
        instead: "leave CONNECT out, unless this Envoy is meant to be a forward proxy";
    UPGRADE_FILTERS = Error "upgrade-without-check",
        why: "these filters take the place of http_filters, so such requests are not checked at all",
        instead: "leave `filters` out of the upgrade, or put ext_authz among them";
}
