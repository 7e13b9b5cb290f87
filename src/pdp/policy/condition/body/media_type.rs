//! `content-type` (RFC 9110 section 8.3), as far as it can say JSON.

/// Whether a content type says JSON in UTF-8: `application/json` or `application/…+json` (RFC 6839 section 3.1), alone or with one
/// `charset=utf-8`. Anything more could make a service read the same bytes as something else.
pub(super) fn is_json(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
    is_json_type(parts.next().unwrap_or_default()) && parts.next().is_none_or(is_utf_8) && parts.next().is_none()
}

fn is_json_type(essence: &str) -> bool {
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let subtype = subtype.to_ascii_lowercase();
    let structured = subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty() && name.bytes().all(is_name_byte));
    kind.eq_ignore_ascii_case("application") && (subtype == "json" || structured)
}

/// `restricted-name-chars` of RFC 6838 section 4.2.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+')
}

fn is_utf_8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
}
