//! Whom a request is about, and whether the caller manages them.

use std::borrow::Cow;
use std::sync::Arc;

use super::grant::Holder;
use super::{Evaluation, Refusal};
use crate::pdp::attribute::{Attributes, is_safe_value};
use crate::pdp::decision::Reason;
use crate::pdp::role::{ManageRule, Within};
use crate::pdp::target::{Target, TargetFact, TargetKey};

impl Evaluation<'_, '_, '_> {
    /// Whether one of the caller's roles manages a target.
    pub(super) fn check_manages(&self, number: usize) -> Result<(), Refusal> {
        let managing = || self.holders.iter().filter_map(|holder| Some((holder, holder.manages?)));
        // Who manages nobody need not learn whether there is such a person.
        if managing().next().is_none() {
            return Err(Reason::TargetNotManaged.into());
        }
        let target = self.target(number)?;
        let reaches = |(holder, rule): (&Holder<'_>, &ManageRule)| {
            let within_boundary = holder.boundary.into_iter().flat_map(Attributes::iter);
            let within = match &rule.within {
                Within::Tenant => true,
                Within::Attribute(name) => {
                    let own = self.own_attribute(holder, name);
                    own.is_some() && own == target.attributes.get(name)
                }
            };
            within && rule.covers(&target) && within_boundary.into_iter().all(|(name, value)| target.attributes.get(name) == Some(value))
        };
        if managing().any(reaches) { Ok(()) } else { Err(Reason::TargetNotManaged.into()) }
    }

    /// Whom the request names.
    pub(super) fn target_id(&self, number: usize) -> Result<Cow<'_, str>, Refusal> {
        let (_, place) = self.at.route.targets.get(number).ok_or(Reason::InternalError)?;
        self.value(place)?.filter(|id| is_safe_value(id)).ok_or_else(|| Reason::TargetUnclear.into())
    }

    /// What the directory says of a target in the tenant in which the request takes place.
    pub(super) fn target(&self, number: usize) -> Result<Arc<Target>, Refusal> {
        let directory = self.at.view.snapshot.directory.ok_or(Reason::InternalError)?;
        let key = TargetKey { directory, tenant: self.at.principal.tenant().cloned(), user: self.target_id(number)?.into() };
        match self.at.view.facts.target(&key) {
            TargetFact::Known(target) => Ok(target),
            TargetFact::Unknown => Err(Reason::TargetUnknown.into()),
            TargetFact::Failed => Err(Reason::TargetUnavailable.into()),
            TargetFact::NotAsked => Err(Refusal { wanted: Some(key), ..Reason::TargetUnavailable.into() }),
        }
    }
}
