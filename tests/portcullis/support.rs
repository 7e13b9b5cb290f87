//! What several tests need: keys and tokens of any shape, as policy tests have them, and a time that stands still.

use portcullis::pdp::time::UnixTime;
use portcullis::policy_test::NOW_SECONDS;
use portcullis::policy_test::token::TokenSpec;

/// The time at which tests take place unless they say otherwise.
pub const NOW: UnixTime = UnixTime::from_seconds(NOW_SECONDS);

/// A token that is at least printable.
pub fn mint_text(spec: &TokenSpec) -> String {
    String::from_utf8(spec.mint().expect("a token")).expect("a printable token")
}
