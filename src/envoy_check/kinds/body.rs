//! Bodies that go along with the question.

kinds! {
    BODY_NOT_SENT = Error "body-not-sent",
        why: "rules about bodies refuse what they cannot see: these routes never pass",
        instead: "with_request_body: { max_request_bytes: 65536, allow_partial_message: true, pack_as_bytes: true }";
    BODY_AS_TEXT = Warning "body-as-text",
        why: "each byte that is no UTF-8 becomes \"!\": the check judges another document than the service reads",
        instead: "with_request_body.pack_as_bytes: true";
    BODY_REFUSED = Note "body-413",
        why: "Envoy answers 413 to every longer body, also on routes where nobody looks at it",
        instead: "with_request_body.allow_partial_message: true; where a rule has to see the whole body, Portcullis refuses a part of it";
    BODY_TOO_MUCH = Note "body-more-than-read",
        why: "Portcullis reads no more than 64 KiB of a body; the rest costs memory and time for nothing",
        instead: "with_request_body.max_request_bytes: 65536";
    BODY_BUFFER = Warning "body-buffer",
        why: "Envoy answers 413 by itself to bodies that do not fit into its buffer",
        instead: "the listener's per_connection_buffer_limit_bytes at least as large as max_request_bytes";
    BODY_MESSAGE = Warning "body-too-large",
        why: "a question that is larger than limits.message_bytes is refused as a whole",
        instead: "a smaller max_request_bytes, or limits.message_bytes that holds body and headers (max_request_bytes and 64 KiB more)";
    BODY_OFF = Note "body-off",
        why: "rules about bodies refuse what they cannot see",
        instead: "leave disable_request_body_buffering out, where such a rule is for these paths";
}
