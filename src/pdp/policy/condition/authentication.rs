//! How, and how long ago, somebody authenticated: `mfa`, `acr`, `max_auth_age`.
//!
//! A client that does not meet it is told to authenticate better (step-up, RFC 9470).

use std::time::Duration;

use crate::pdp::time::UnixTime;
/// How, and when, a subject authenticated, as its token says.
#[derive(Debug, Clone, Copy)]
pub struct AuthenticationEvent<'a> {
    /// `amr`.
    pub methods: &'a [Box<str>],
    /// `acr`.
    pub class: Option<&'a str>,
    /// `auth_time`.
    pub at: Option<UnixTime>,
}

/// What is asked of an authentication. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticationRule {
    /// Several factors (`amr`, RFC 8176).
    pub mfa: bool,
    /// One of these classes (`acr`), in order of preference; `None`: any. An empty list is met by nobody.
    pub acr: Option<Vec<Box<str>>>,
    /// The longest time since `auth_time`.
    pub max_age: Option<Duration>,
}

/// What a client has to do better (RFC 9470 section 3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// `acr_values`, in order of preference; empty: not said.
    pub acr_values: Vec<Box<str>>,
    /// `max_age`, in seconds.
    pub max_age: Option<u64>,
}

/// `amr` values (RFC 8176 section 2) by the kind of factor that they prove.
const KNOWLEDGE: [&str; 3] = ["pwd", "pin", "kba"];
const POSSESSION: [&str; 6] = ["otp", "hwk", "swk", "sc", "sms", "tel"];
const INHERENCE: [&str; 5] = ["fpt", "face", "iris", "retina", "vbm"];

impl AuthenticationRule {
    /// Both rules at once.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            mfa: self.mfa || other.mfa,
            acr: match (&self.acr, &other.acr) {
                (None, acr) | (acr, None) => acr.clone(),
                (Some(own), Some(other)) => Some(own.iter().filter(|class| other.contains(class)).cloned().collect()),
            },
            max_age: [self.max_age, other.max_age].into_iter().flatten().min(),
        }
    }

    /// Whether an authentication meets the rule.
    ///
    /// # Errors
    /// What the client has to do better.
    pub fn check(&self, event: &AuthenticationEvent<'_>, leeway: Duration, now: UnixTime) -> Result<(), StepUp> {
        let several_factors = !self.mfa || has_several_factors(event.methods);
        let class = self.acr.as_ref().is_none_or(|acr| event.class.is_some_and(|class| acr.iter().any(|accepted| **accepted == *class)));
        let young = self.max_age.is_none_or(|limit| is_young(event, limit.saturating_add(leeway), now));
        if several_factors && class && young {
            return Ok(());
        }
        Err(StepUp { acr_values: self.acr.clone().unwrap_or_default(), max_age: self.max_age.map(|age| age.as_secs()) })
    }
}

/// An authentication whose time is not known is not young.
fn is_young(event: &AuthenticationEvent<'_>, limit: Duration, now: UnixTime) -> bool {
    event.at.is_some_and(|at| now.since(at) <= limit)
}

/// `mfa` itself, or factors of two different kinds. Two passwords are one factor.
fn has_several_factors(methods: &[Box<str>]) -> bool {
    let any = |kind: &[&str]| methods.iter().any(|method| kind.contains(&&**method));
    any(&["mfa"]) || [any(&KNOWLEDGE), any(&POSSESSION), any(&INHERENCE)].into_iter().filter(|proven| *proven).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn several(methods: &[&str]) -> bool {
        has_several_factors(&methods.iter().map(|method| Box::from(*method)).collect::<Vec<_>>())
    }

    #[test]
    fn several_factors_are_of_different_kinds() {
        for methods in [&["mfa"][..], &["pwd", "otp"], &["fpt", "hwk"], &["pin", "face", "pwd"]] {
            assert!(several(methods), "{methods:?}");
        }
        for methods in [&[][..], &["pwd"], &["otp"], &["pwd", "pin"], &["otp", "sms"], &["pwd", "MFA"], &["pwd", "rba"]] {
            assert!(!several(methods), "{methods:?}");
        }
    }

    #[test]
    fn two_rules_at_once_ask_for_all_that_either_does() {
        let rule = |mfa, acr: Option<&[&str]>, seconds: Option<u64>| AuthenticationRule {
            mfa,
            acr: acr.map(|acr| acr.iter().map(|class| Box::from(*class)).collect()),
            max_age: seconds.map(Duration::from_secs),
        };
        assert_eq!(rule(true, None, Some(60)).and(&rule(false, Some(&["a"]), Some(30))), rule(true, Some(&["a"]), Some(30)));
        assert_eq!(rule(false, Some(&["a", "b"]), None).and(&rule(false, Some(&["b", "c"]), None)), rule(false, Some(&["b"]), None));
        // Nobody can be of both classes; that must not become "of any".
        assert_eq!(rule(false, Some(&["a"]), None).and(&rule(false, Some(&["b"]), None)), rule(false, Some(&[]), None));
    }
}
