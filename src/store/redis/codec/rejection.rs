//! Decodes rejections of changes.

use super::error::corrupt;
use crate::{domain::Rejection, store::StoreError};

/// Decodes the reason for which a script has rejected its change.
///
/// # Errors
/// [`StoreError::Corrupt`] for an unknown reason or an invalid detail.
pub fn rejection(reason: &str, detail: &str) -> Result<Rejection, StoreError> {
    let status = |text: &str| text.parse().map_err(|_| corrupt("status"));
    let number = || detail.parse().map_err(|_| corrupt("a rejection's number"));
    Ok(match reason {
        "transition" => {
            let (to, from) = detail.split_once(' ').ok_or_else(|| corrupt("transition"))?;
            Rejection::InvalidTransition { from: status(from)?, to: status(to)? }
        }
        "not_active" => Rejection::NotActive { status: status(detail)? },
        "full" => Rejection::Full { max: detail.parse().map_err(|_| corrupt("full"))? },
        "blocked" => Rejection::Blocked,
        "too_many_blocks" => Rejection::TooManyBlocks { max: detail.parse().map_err(|_| corrupt("blocks"))? },
        "ingress_exists" => Rejection::IngressExists,
        "too_many_ingresses" => Rejection::TooManyIngresses,
        "ingress_plan" => Rejection::NoIngressPlan,
        "too_many_egresses" => Rejection::TooManyEgresses,
        "egress_plan" => Rejection::NoEgressPlan,
        "broadcast" => Rejection::NoBroadcast,
        "broadcast_ended" => Rejection::BroadcastEnded,
        "target" => Rejection::NoTarget,
        "last_target" => Rejection::LastTarget,
        "too_many_targets" => Rejection::TooManyTargets,
        "backstage" => Rejection::Backstage,
        "participant" => Rejection::NoParticipant,
        "absent" => Rejection::NotPresent,
        "hands" => Rejection::TooManyHands { max: detail.parse().map_err(|_| corrupt("hands"))? },
        "frequent" => Rejection::HandsTooFrequent,
        "version" => Rejection::VersionMismatch { current: number()? },
        "metadata" => Rejection::MetadataChanged,
        _ => return Err(corrupt("a rejection")),
    })
}
