//! What members of sets and fields of stream entries say. No connection here.

use crate::config::{RedisScores, RevokedIds};
use crate::pdp::revocation::Revocation;
use crate::pip::revocation::entry::{self, shortened};

/// The revocation that a member of a set stands for.
///
/// # Errors
/// It stands for none that could be enforced.
pub(super) fn member(bytes: &[u8], ids: RevokedIds) -> Result<Revocation<'_>, String> {
    let text = text(bytes)?;
    let (kind, id) = match ids {
        RevokedIds::Of(kind) => (kind, text),
        RevokedIds::Named => {
            let Some((kind, id)) = text.split_once(':') else {
                return Err(format!(
                    "there is the member '{}', and members look like 'jti:…' or 'sid:…' (say 'kind: jti' if they are ids alone)",
                    shortened(text)
                ));
            };
            (entry::kind(kind)?, id)
        }
    };
    Ok(Revocation { kind, id: entry::id(id)?, before: None, expires: None })
}

/// The same for a member of a sorted set, whose score means something.
///
/// # Errors
/// As above, or the score is no time where it is to be one.
pub(super) fn scored(bytes: &[u8], score: f64, ids: RevokedIds, scores: RedisScores) -> Result<Revocation<'_>, String> {
    let revocation = member(bytes, ids)?;
    Ok(match scores {
        RedisScores::Ignored => revocation,
        // How Redis writes "never".
        RedisScores::Expires if score == f64::INFINITY => revocation,
        RedisScores::Expires => Revocation { expires: Some(entry::time(score)?), ..revocation },
        RedisScores::Before => Revocation { before: Some(entry::time(score)?), ..revocation },
    })
}

/// The same for an entry of a stream: its fields are those of the feed's entries, `type`, `id`, `before` and `expires`. Others
/// mean nothing.
///
/// # Errors
/// As above, or a field is missing, there twice, or no number.
pub(super) fn fields<'a>(fields: &'a [(Vec<u8>, Vec<u8>)]) -> Result<Revocation<'a>, String> {
    let (mut kind, mut id, mut before, mut expires) = (None, None, None, None);
    for (name, value) in fields {
        let slot: &mut Option<&'a [u8]> = match name.as_slice() {
            b"type" => &mut kind,
            b"id" => &mut id,
            b"before" => &mut before,
            b"expires" => &mut expires,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(format!("there is an entry with two fields '{}'", String::from_utf8_lossy(name)));
        }
    }
    let needed = |value: Option<&'a [u8]>, name: &str| value.ok_or_else(|| format!("there is an entry without the field '{name}'"));
    let time = |value: Option<&[u8]>| value.map(|value| entry::time(number(text(value)?)?)).transpose();
    Ok(Revocation {
        kind: entry::kind(text(needed(kind, "type")?)?)?,
        id: entry::id(text(needed(id, "id")?)?)?,
        before: time(before)?,
        expires: time(expires)?,
    })
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("there is '{}', which is not UTF-8", shortened(&String::from_utf8_lossy(bytes))))
}

/// A plain decimal number. What else can be read as one, such as `inf`, is none here.
fn number(text: &str) -> Result<f64, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain).ok_or_else(|| format!("there is the time '{}', which is no number of seconds", shortened(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdp::revocation::RevocationKind;
    use crate::pdp::time::UnixTime;

    const NAMED: RevokedIds = RevokedIds::Named;

    #[test]
    fn members_name_their_kind_unless_all_are_of_one() {
        let read = |member_: &'static str, ids| member(member_.as_bytes(), ids).map(|revocation| (revocation.kind, revocation.id));
        assert_eq!(read("jti:a", NAMED), Ok((RevocationKind::Token, "a")));
        assert_eq!(read("sub:urn:u:1", NAMED), Ok((RevocationKind::Subject, "urn:u:1")));
        assert_eq!(read("sub:a", RevokedIds::Of(RevocationKind::Token)), Ok((RevocationKind::Token, "sub:a")));
        for wrong in ["", "a", ":a", "jti:", "JTI:a", " jti:a", "session:a"] {
            assert!(read(wrong, NAMED).is_err(), "{wrong}");
        }
        assert!(read("", RevokedIds::Of(RevocationKind::Token)).is_err());
        assert!(member(b"jti:\xff", NAMED).is_err());
    }

    #[test]
    fn a_score_means_what_the_configuration_says() {
        let read = |score, scores| scored(b"jti:a", score, NAMED, scores).map(|revocation| (revocation.before, revocation.expires));
        let moment = Some(UnixTime::from_seconds(1_790_000_000));
        assert_eq!(read(1.79e9, RedisScores::Expires), Ok((None, moment)));
        assert_eq!(read(f64::INFINITY, RedisScores::Expires), Ok((None, None)));
        assert_eq!(read(1.79e9, RedisScores::Before), Ok((moment, None)));
        assert_eq!(read(-5.0, RedisScores::Ignored), Ok((None, None)));
        for (score, scores) in [
            (-1.0, RedisScores::Expires),
            (f64::NEG_INFINITY, RedisScores::Expires),
            // Milliseconds.
            (1.79e12, RedisScores::Expires),
            (f64::INFINITY, RedisScores::Before),
        ] {
            assert!(read(score, scores).is_err(), "{score}");
        }
    }

    #[test]
    fn fields_of_a_stream_entry_are_read_strictly() {
        let entry = |text: &[(&str, &str)]| -> Vec<(Vec<u8>, Vec<u8>)> {
            text.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
        };
        let good = entry(&[("id", "u1"), ("type", "sub"), ("before", "1790000000"), ("expires", "1790003600.5"), ("by", "me")]);
        let revocation = fields(&good).unwrap();
        assert_eq!((revocation.kind, revocation.id), (RevocationKind::Subject, "u1"));
        assert_eq!(revocation.before, Some(UnixTime::from_seconds(1_790_000_000)));
        assert_eq!(revocation.expires, Some(UnixTime::from_millis(1_790_003_600_500)));
        for wrong in [
            &[][..],
            &[("type", "sub")],
            &[("id", "u1")],
            &[("type", "sub"), ("id", "")],
            &[("type", "user"), ("id", "u1")],
            &[("type", "sub"), ("id", "u1"), ("id", "u2")],
            &[("type", "sub"), ("id", "u1"), ("before", "inf")],
            &[("type", "sub"), ("id", "u1"), ("before", "")],
            &[("type", "sub"), ("id", "u1"), ("expires", "-1")],
            &[("type", "sub"), ("id", "u1"), ("expires", "soon")],
            &[("type", "sub"), ("id", "u1"), ("expires", "1790000000000")],
        ] {
            assert!(fields(&entry(wrong)).is_err(), "{wrong:?}");
        }
    }
}
