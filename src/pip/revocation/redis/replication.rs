//! Whether what a Redis says is up to date, by what it says of its replication.

use std::time::Duration;

/// By how much what a Redis holds may be behind, as its `INFO replication` tells: not at all for a master, and for a replica as
/// long as it has not heard of its master.
///
/// # Errors
/// It is a replica that is cut off from its master, or does not say what it is.
pub(super) fn lag(info: &str) -> Result<Duration, String> {
    let value = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    match value("role") {
        Some("master") => Ok(Duration::ZERO),
        Some("slave") if value("master_link_status") != Some("up") => {
            Err("this Redis is a replica that is cut off from its master, so it does not hear of revocations".into())
        }
        Some("slave") => {
            let seconds = value("master_last_io_seconds_ago").and_then(|seconds| seconds.parse().ok());
            seconds
                .map(Duration::from_secs)
                .ok_or_else(|| "this Redis is a replica and does not say when it last heard of its master".into())
        }
        _ => Err("this Redis does not say whether it is a master or a replica".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_as_old_as_its_last_word_from_the_master() {
        assert_eq!(lag("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"), Ok(Duration::ZERO));
        let replica = |status: &str, seconds: i32| {
            lag(&format!("# Replication\r\nrole:slave\r\nmaster_link_status:{status}\r\nmaster_last_io_seconds_ago:{seconds}\r\n"))
        };
        assert_eq!(replica("up", 3), Ok(Duration::from_secs(3)));
        assert!(replica("down", 3).is_err());
        assert!(replica("up", -1).is_err());
        assert!(lag("role:slave\r\n").is_err());
        assert!(lag("role:sentinel\r\n").is_err());
        assert!(lag("").is_err());
    }
}
