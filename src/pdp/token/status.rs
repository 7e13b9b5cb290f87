//! The claim `status` (draft-ietf-oauth-status-list-20 section 6.2): where it stands whether the token is still good.

use super::profile::{SourceId, StatusListName};
use crate::pdp::decision::Reason;
use crate::pdp::json::Json;

/// `typ` of a status list's own token (section 5.1).
pub const STATUS_LIST_TYPE: &str = "statuslist+jwt";

/// A place in a status list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusReference {
    /// The list, which is one of those that the configuration names: a token never chooses a URL.
    pub list: SourceId,
    /// The place in it, counted from zero.
    pub index: u64,
}

/// Reads the claim `{ "status_list": { "idx": 7, "uri": "https://…" } }`. Further members of each object mean nothing here.
///
/// # Errors
/// [`Reason::ClaimsInvalid`] for any other shape, a status by other means than a list included: nobody here can say what it is.
/// [`Reason::StatusListUnknown`] if the URI is not, character by character, one of the lists'.
pub(super) fn reference(claim: Option<&Json>, lists: &[StatusListName]) -> Result<Option<StatusReference>, Reason> {
    let Some(claim) = claim else { return Ok(None) };
    let reference =
        claim.as_object().and_then(|status| status.get("status_list")).and_then(Json::as_object).ok_or(Reason::ClaimsInvalid)?;
    let index = reference.get("idx").and_then(Json::as_integer).ok_or(Reason::ClaimsInvalid)?;
    let uri = reference.get("uri").and_then(Json::as_str).ok_or(Reason::ClaimsInvalid)?;
    let list = lists.iter().find(|list| *list.uri == *uri).ok_or(Reason::StatusListUnknown)?;
    Ok(Some(StatusReference { list: list.source, index }))
}
