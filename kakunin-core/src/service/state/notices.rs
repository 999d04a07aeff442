//! What follows from records of a tenant's log that are about no agent.

use super::inbox::{EndingNotice, Item};
use super::rows::set;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::record::{Body, Control, Record};
use crate::store::state::{Change, Kind};
use crate::webhook::Disabled;

/// Rows that follow from a record of a tenant's log that is about no agent.
pub(crate) fn changes(record: &Record, index: u64) -> Result<Vec<Change>, StoreError> {
    let Body::Control(control) = &record.body else { return Ok(Vec::new()) };
    if let Control::BreakerTripped(tripped) = &**control {
        let what = tripped.in_common.to_string();
        return Ok(vec![Item::about(record, index).breaker_tripped(what).change()?]);
    }
    if let Control::WebhookDisabled { id, why } = &**control {
        let what = match why {
            Disabled::Gone => "its receiver answered 410 (gone)",
            Disabled::Failing => "nothing came through for days",
            Disabled::Ordered => "somebody ordered it",
        };
        let what = format!("Webhook {id} is disabled: {what}.");
        return Ok(vec![Item::about(record, index).webhook_disabled(what).change()?]);
    }
    let Control::CaEnding { issuer, role, not_after, stage } = **control else { return Ok(Vec::new()) };
    let told = set(Kind::Cursor, told_key(&issuer), &stage)?;
    let ending = EndingNotice { issuer, role, not_after, stage };
    Ok(vec![told, Item::about(record, index).ending(ending).change()?])
}

pub(crate) fn told_key(issuer: &IssuerId) -> Vec<u8> {
    format!("ca-ending/{issuer}").into_bytes()
}
