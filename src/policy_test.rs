//! Policy tests: files of cases that say what must come of which request.
//!
//! [`reader`] reads YAML, [`case`] says what a case is made of, [`facts`] and [`request`] turn it into what the PDP takes, and
//! [`run`] decides and compares. Every case is decided three times: never seen, with its repeated headers joined as Envoy may do
//! it, and once more with its token remembered. All three must agree.
//!
//! Tokens are signed by [`keys`] that exist for one run only, so a file holds no secret and its tokens are of no use elsewhere.

use serde_json::{Map, Value};

pub mod case;
pub mod configuration;
pub mod coverage;
mod expectation;
mod facts;
pub mod keys;
mod reader;
pub mod report;
mod request;
pub mod run;
pub mod template;
pub mod token;

/// The time at which cases take place unless they say otherwise, in seconds since the epoch: 2027-01-15T08:00:00Z, a Friday.
pub const NOW_SECONDS: i64 = 1_800_000_000;

/// The members of a JSON object; what is none has none.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
