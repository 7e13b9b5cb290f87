//! From where: `networks`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::pdp::request::AccessRequest;

/// Which networks a request may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRule {
    /// The client must be in one of these; `None`: anywhere.
    pub allow: Option<Vec<IpNet>>,
    /// It must be in none of these.
    pub deny: Vec<IpNet>,
    /// Where the client's address is taken from.
    pub client: ClientAddress,
}

/// Where a client's address is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAddress {
    /// The other end of the connection: nobody can write there what they like.
    Peer,
    /// A forwarding header, to which proxies that are trusted have appended this many addresses.
    Header {
        /// Its name, in lower case.
        name: Box<str>,
        /// With 1, the last address is the client's; never 0.
        trusted_hops: usize,
    },
}

impl NetworkRule {
    /// Whether the request comes from where it may. An address that is not there or cannot be read comes from nowhere.
    #[must_use]
    pub fn admits(&self, request: &AccessRequest<'_>) -> bool {
        let Some(client) = self.client.find(request) else { return false };
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        self.allow.as_ref().is_none_or(|allow| within(allow)) && !within(&self.deny)
    }
}

impl ClientAddress {
    fn find(&self, request: &AccessRequest<'_>) -> Option<IpAddr> {
        let text = match self {
            Self::Peer => request.peer.address,
            Self::Header { name, trusted_hops } => {
                // Several fields of one name are one list (RFC 9110 section 5.3).
                let fields = request.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
                let mut addresses: Vec<&str> = Vec::new();
                for (_, value) in fields {
                    addresses.extend(std::str::from_utf8(value).ok()?.split(',').map(str::trim));
                }
                addresses.get(addresses.len().checked_sub(*trusted_hops)?).copied()?
            }
        };
        // ::ffff:10.0.0.1 is 10.0.0.1.
        text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdp::request::Peer;

    fn rule(allow: &[&str], deny: &[&str], client: ClientAddress) -> NetworkRule {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        NetworkRule { allow: (!allow.is_empty()).then(|| parse(allow)), deny: parse(deny), client }
    }

    fn from(address: &str) -> AccessRequest<'_> {
        AccessRequest { peer: Peer { address, principal: "" }, ..AccessRequest::default() }
    }

    fn forwarded(hops: usize, values: &[&'static str]) -> bool {
        let mut request = from("192.0.2.1");
        for value in values {
            request.headers.push("x-forwarded-for", value.as_bytes());
        }
        let client = ClientAddress::Header { name: "x-forwarded-for".into(), trusted_hops: hops };
        rule(&["10.0.0.0/8"], &[], client).admits(&request)
    }

    #[test]
    fn a_client_must_be_in_an_allowed_and_in_no_denied_network() {
        let rule = rule(&["10.0.0.0/8", "2001:db8::/32"], &["10.9.0.0/16"], ClientAddress::Peer);
        for inside in ["10.0.0.1", "10.255.255.255", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert!(rule.admits(&from(inside)), "{inside}");
        }
        for outside in
            ["11.0.0.1", "10.9.0.1", "::ffff:10.9.0.1", "2001:db9::1", "::1", "", "10.0.0.1:80", "10.0.0.01", "localhost", "10.0.0"]
        {
            assert!(!rule.admits(&from(outside)), "{outside}");
        }
    }

    #[test]
    fn denied_networks_alone_leave_the_rest_open_to_known_clients() {
        let rule = rule(&[], &["10.0.0.0/8"], ClientAddress::Peer);
        assert!(rule.admits(&from("192.0.2.1")));
        assert!(!rule.admits(&from("10.0.0.1")));
        assert!(!rule.admits(&from("")));
    }

    #[test]
    fn a_forwarding_header_is_read_from_the_right_over_the_trusted_hops() {
        assert!(forwarded(1, &["10.0.0.1"]));
        assert!(forwarded(1, &["evil, 192.0.2.7, 10.0.0.1"]));
        assert!(forwarded(2, &["192.0.2.7, 10.0.0.1, 192.0.2.9"]));
        assert!(forwarded(2, &["192.0.2.7", "10.0.0.1", "192.0.2.9"]));
        assert!(!forwarded(1, &["10.0.0.1, 192.0.2.7"]));
        assert!(!forwarded(2, &["10.0.0.1"]));
        assert!(!forwarded(1, &[]));
        assert!(!forwarded(1, &["10.0.0.1, "]));
        assert!(!forwarded(1, &["10.0.0.1:4711"]));
    }
}
