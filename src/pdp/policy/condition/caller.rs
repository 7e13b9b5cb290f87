//! Which workload of the mesh: `principals`.

/// Mesh identities that may call: SPIFFE ids or other names from the client's certificate, as Envoy verified it
/// (`source.principal`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRule(pub Vec<CallerPattern>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerPattern {
    /// Exactly this one.
    Exact(Box<str>),
    /// All below this path, which ends in `/`: `spiffe://mesh/ns/shop/`.
    Below(Box<str>),
}

impl CallerPattern {
    /// Reads an identity, or one that ends in `/*`. `None` if there is another `*`, a space or nothing before the `*`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (path, below) = text.strip_suffix('*').map_or((text, false), |path| (path, true));
        let fits = !path.is_empty() && path.bytes().all(|b| b.is_ascii_graphic() && b != b'*') && (!below || path.ends_with('/'));
        // `spiffe://*` would be everybody of every trust domain.
        let names_somebody = !below || !path.ends_with("//");
        (fits && names_somebody).then(|| if below { Self::Below(path.into()) } else { Self::Exact(path.into()) })
    }
}

impl CallerRule {
    /// Whether this identity may call. Without one, nobody may.
    #[must_use]
    pub fn admits(&self, principal: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            CallerPattern::Exact(exact) => **exact == *principal,
            // What is below is there, and does not climb up again.
            CallerPattern::Below(path) => {
                principal.strip_prefix(&**path).is_some_and(|rest| rest.split('/').all(|segment| !matches!(segment, "" | "." | "..")))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_exact_or_below_a_path() {
        let rule = |texts: &[&str]| CallerRule(texts.iter().map(|text| CallerPattern::parse(text).unwrap()).collect());
        let orders = rule(&["spiffe://mesh/ns/shop/sa/orders"]);
        assert!(orders.admits("spiffe://mesh/ns/shop/sa/orders"));
        for other in ["", "spiffe://mesh/ns/shop/sa/orders2", "spiffe://mesh/ns/shop/sa/order", "spiffe://Mesh/ns/shop/sa/orders"] {
            assert!(!orders.admits(other), "{other}");
        }
        let shop = rule(&["spiffe://mesh/ns/shop/*"]);
        assert!(shop.admits("spiffe://mesh/ns/shop/sa/orders"));
        for other in ["spiffe://mesh/ns/shop", "spiffe://mesh/ns/shop/", "spiffe://mesh/ns/shop/../hr/sa/x", "spiffe://mesh/ns/shop2/sa/x"]
        {
            assert!(!shop.admits(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "*", "spiffe://*", "spiffe://mesh/*/x", "spiffe://mesh*", "a b", "spiffe://mesh/**"] {
            assert_eq!(CallerPattern::parse(text), None, "{text}");
        }
    }
}
