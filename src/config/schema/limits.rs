//! `limits` and `shutdown`: how much the sidecar takes on at once, and how it ends.

use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};

use super::SECOND;
use super::issuer::duration_or;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const MILLISECOND: Duration = Duration::from_millis(1);

/// How much is taken on at once. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Checks between their first byte and their answer, over all connections.
    pub checks: usize,
    /// Connections for checks.
    pub connections: usize,
    /// Calls that one connection has open.
    pub streams: usize,
    /// The longest message that is read, in bytes.
    pub message_bytes: usize,
    /// The longest header list of a call (RFC 9113 section 10.5.1), in bytes.
    pub header_bytes: usize,
    /// How long a call's message may take to arrive.
    pub request_timeout: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            checks: 1024,
            connections: 1024,
            streams: 1024,
            message_bytes: 256 * KIB,
            header_bytes: 16 * KIB,
            request_timeout: 10 * SECOND,
        }
    }
}

/// How the sidecar ends. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// How long it goes on as before, but for saying that it is not ready, as long as somebody is connected.
    pub delay: Duration,
    /// How long what is in flight then has to be finished.
    pub deadline: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { delay: 5 * SECOND, deadline: 10 * SECOND }
    }
}

pub(super) fn limits(node: &Node<'_>, problems: &mut Problems) -> Option<Located<LimitSettings>> {
    let mut map = node.map(problems)?;
    let default = LimitSettings::default();
    let mut number = |name, default, most| map.take(name).map_or(Some(default), |node| node.usize(problems, 1..=most));
    let checks = number("checks", default.checks, 65_536);
    let connections = number("connections", default.connections, 65_536);
    let streams = number("streams", default.streams, 65_536);
    let mut size = |name, default, range| map.take(name).map_or(Some(default), |node| node.bytes(problems, range));
    let message_bytes = size("message_bytes", default.message_bytes, KIB..=16 * MIB);
    let header_bytes = size("header_bytes", default.header_bytes, KIB..=MIB);
    let request_timeout = duration_or(map.take("request_timeout"), problems, default.request_timeout, 100 * MILLISECOND..=60 * SECOND);
    map.finish(problems);
    Some(node.locate(LimitSettings {
        checks: checks?,
        connections: connections?,
        streams: streams?,
        message_bytes: message_bytes?,
        header_bytes: header_bytes?,
        request_timeout: request_timeout?,
    }))
}

pub(super) fn shutdown(node: &Node<'_>, problems: &mut Problems) -> Option<Located<ShutdownSettings>> {
    let mut map = node.map(problems)?;
    let default = ShutdownSettings::default();
    let delay = duration_or(map.take("delay"), problems, default.delay, Duration::ZERO..=300 * SECOND);
    let deadline = duration_or(map.take("deadline"), problems, default.deadline, SECOND..=300 * SECOND);
    map.finish(problems);
    Some(node.locate(ShutdownSettings { delay: delay?, deadline: deadline? }))
}
