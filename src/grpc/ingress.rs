//! Conversion of ingresses to messages of `proto/`.

use super::{convert::millis, proto};
use crate::domain::Ingress;

/// Converts an ingress.
pub fn ingress(ingress: &Ingress) -> proto::Ingress {
    proto::Ingress {
        ingress_id: ingress.id.to_string(),
        r#type: ingress.kind.as_str().to_owned(),
        identity: ingress.identity.to_string(),
        name: ingress.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        url: ingress.url.as_ref().map(ToString::to_string).unwrap_or_default(),
        status: ingress.status.as_str().to_owned(),
        error: ingress.error.clone().unwrap_or_default(),
        created_at: ingress.created_at.as_millis(),
        started_at: millis(ingress.started_at),
        ended_at: millis(ingress.ended_at),
        deleted: ingress.deleted,
    }
}
