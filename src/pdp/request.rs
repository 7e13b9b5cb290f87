//! The request to decide on, borrowed from whatever front door it came through.

use std::fmt;

use smallvec::SmallVec;

/// Who is calling, as the transport knows it. Forwarding headers never say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer<'a> {
    /// The connection's source address, without port; empty if unknown.
    pub address: &'a str,
    /// The authenticated mesh identity (Envoy's `source.principal`), empty if there is none.
    pub principal: &'a str,
}

/// The header fields of a request, names in lower case.
#[derive(Debug, Clone, Default)]
pub struct Headers<'a> {
    fields: SmallVec<[(&'a str, &'a [u8]); 32]>,
}

/// What a request says under one header name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// The header is not there.
    Absent,
    /// It is there once.
    One(&'a [u8]),
    /// It is there more than once. Envoy joins duplicates with a comma unless it sends raw headers, so a value with a
    /// comma in it counts as several too: both forms of a request get one answer.
    Several,
}

impl<'a> Headers<'a> {
    /// Adds a field. The name is expected in lower case, as Envoy sends it.
    pub fn push(&mut self, name: &'a str, value: &'a [u8]) {
        self.fields.push((name, value));
    }

    /// All fields in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        self.fields.iter().copied()
    }

    /// Looks for a header that may be there once at most and cannot hold a comma.
    #[must_use]
    pub fn single(&self, name: &str) -> HeaderValue<'a> {
        let mut values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        match (values.next(), values.next()) {
            (None, _) => HeaderValue::Absent,
            (Some(value), None) if !value.contains(&b',') => HeaderValue::One(value),
            _ => HeaderValue::Several,
        }
    }

    /// Looks for a header like [`Self::single`] that other components may read as well: a second spelling that a server could
    /// fold into the same name (`x_tenant` besides `x-tenant`) counts as a second value, and alone as an unclear one.
    #[must_use]
    pub fn single_in_any_spelling(&self, name: &str) -> HeaderValue<'a> {
        if self.fields.iter().any(|(field, _)| !field.eq_ignore_ascii_case(name) && is_same_folded(field, name)) {
            return HeaderValue::Several;
        }
        self.single(name)
    }

    /// Whether the header is there at all, whatever it says.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name))
    }
}

/// Whether two header names are one for a server that folds separators (CGI's `HTTP_X_USER_ID`): case does not count, and everything
/// that is neither letter nor digit is one character.
#[must_use]
pub fn is_same_folded(left: &str, right: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    left.len() == right.len() && left.bytes().map(fold).eq(right.bytes().map(fold))
}

/// The body of a request, as far as the PEP sent it along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequestBody<'a> {
    /// It was not sent along, or there is none.
    #[default]
    NotSent,
    /// It was cut short, or is not what the client sent byte for byte.
    Incomplete,
    /// All of it, byte for byte.
    Whole(&'a [u8]),
}

/// A request as the PEP describes it. Nothing in it is trusted or decoded yet.
#[derive(Debug, Clone, Default)]
pub struct AccessRequest<'a> {
    /// The HTTP method, compared exactly.
    pub method: &'a str,
    /// The raw request target: path and query.
    pub target: &'a str,
    /// `:authority` or `Host`, port included.
    pub authority: &'a str,
    /// All header fields.
    pub headers: Headers<'a>,
    /// The other end of the connection.
    pub peer: Peer<'a>,
    /// Its body.
    pub body: RequestBody<'a>,
}

/// The host of a request in canonical form: lower case, without port (RFC 9110 section 4.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host(Box<str>);

/// Why an authority does not name one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostError;

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the authority is not one host name or address with an optional port")
    }
}

/// The longest host name, in bytes (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 253;

impl Host {
    /// Reads an authority. Two hosts joined by a comma, user information, a trailing dot or odd characters are refused.
    ///
    /// # Errors
    /// When the authority is not exactly one host.
    pub fn parse(authority: &str) -> Result<Self, HostError> {
        let (host, port) = if authority.starts_with('[') {
            let end = authority.find(']').ok_or(HostError)?;
            let (host, rest) = authority.split_at_checked(end + 1).ok_or(HostError)?;
            (host, rest)
        } else {
            authority.find(':').and_then(|at| authority.split_at_checked(at)).unwrap_or((authority, ""))
        };
        if let Some(digits) = port.strip_prefix(':') {
            if digits.is_empty() || digits.parse::<u16>().is_err() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(HostError);
            }
        } else if !port.is_empty() {
            return Err(HostError);
        }
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| HostError)?;
            return Ok(Self(format!("[{address}]").into()));
        }
        Self::from_name(host)
    }

    /// Reads a bare host name or IPv4 address.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_name(name: &str) -> Result<Self, HostError> {
        let odd = |label: &str| label.is_empty() || !label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if name.len() > MAX_HOST_BYTES || name.split('.').any(odd) {
            return Err(HostError);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// The host in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_case_and_port() {
        for (authority, host) in [
            ("Blog.Example.com", "blog.example.com"),
            ("blog.example.com:8080", "blog.example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[0:0::1]", "[::1]"),
            ("svc_a", "svc_a"),
        ] {
            assert_eq!(Host::parse(authority).unwrap().as_str(), host);
        }
    }

    #[test]
    fn whatever_is_not_one_host_is_refused() {
        for authority in [
            "", ":80", "a,b", "a, b", "a b", "user@a", "a:", "a:x", "a:99999", "a:+80", "a:80:90", "a.", ".a", "a..b", "[::1", "[::1]x",
            "[zz]", "a/b", "a%2eb", "é.com", "a\0b",
        ] {
            assert_eq!(Host::parse(authority), Err(HostError), "{authority:?}");
        }
        assert!(Host::parse(&"a".repeat(254)).is_err());
    }

    #[test]
    fn duplicates_and_joined_values_are_several() {
        let mut headers = Headers::default();
        headers.push("x-a", b"1");
        headers.push("x-b", b"1");
        headers.push("x-b", b"1");
        headers.push("x-c", b"1,2");
        assert_eq!(headers.single("X-A"), HeaderValue::One(b"1"));
        assert_eq!(headers.single("x-b"), HeaderValue::Several);
        assert_eq!(headers.single("x-c"), HeaderValue::Several);
        assert_eq!(headers.single("x-d"), HeaderValue::Absent);
        assert!(headers.contains("x-B") && !headers.contains("x-d"));
    }

    #[test]
    fn another_spelling_of_the_name_makes_a_value_unclear() {
        let mut headers = Headers::default();
        headers.push("x-tenant", b"acme");
        assert_eq!(headers.single_in_any_spelling("x-tenant"), HeaderValue::One(b"acme"));
        for spelling in ["x_tenant", "x.tenant", "X_Tenant"] {
            let mut headers = headers.clone();
            headers.push(spelling, b"acme");
            assert_eq!(headers.single("x-tenant"), HeaderValue::One(b"acme"), "{spelling}");
            assert_eq!(headers.single_in_any_spelling("x-tenant"), HeaderValue::Several, "{spelling}");
        }
        assert!(!is_same_folded("x-tenant", "x-tenants") && !is_same_folded("x-tenant", "xtenant"));
    }
}
