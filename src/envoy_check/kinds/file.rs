//! The file itself, and what cannot be seen from it.

kinds! {
    UNREADABLE = Error "unreadable",
        why: "what cannot be read was not looked at",
        instead: "give Envoy's bootstrap (YAML or JSON), the answer of its admin interface's /config_dump, or a file of xDS resources";
    WRONG_TYPE = Error "wrong-type",
        why: "Envoy refuses it, or takes another value than the one that you see",
        instead: "a value of the type that the field has; `envoy --mode validate -c FILE` says what Envoy thinks of it";
    UNKNOWN_FIELD = Warning "unknown-field",
        why: "this check does not know what it does, so it says nothing about it; Envoy 1.40 has no such field",
        instead: "the name as Envoy 1.40 has it; for a later Envoy, look up whether it weakens the check";
    NOT_SEEN = Warning "not-seen",
        why: "it comes from elsewhere and was not looked at; anything that this check looks for may be in it",
        instead: "check the answer of the admin interface's /config_dump (`--envoy dump.json`), where it is part of, or give the file too";
    UNKNOWN_FILTER = Warning "unknown-filter",
        why: "this check does not know what it does: it may answer alone, or change what was judged",
        instead: "look up whether it rewrites path, host, headers or body, or lets requests by; put it before ext_authz where it can stand there";
    ADMIN_EXPOSED = Error "admin-exposed",
        why: "whoever reaches the admin interface can end Envoy, change its runtime and read its configuration with all secrets in it",
        instead: "admin: { address: { pipe: { path: /run/portcullis/envoy-admin.sock, mode: 0600 } } }, or an address of 127.0.0.1";
}
