//! Grants: the one that lets a workload sign with a key by itself, and its end.

use aws_sdk_kms::types::GrantOperation;
use kakunin_core::grant::{KeyGrant, Principal};
use kakunin_core::key::SignError;

use super::calls::{Answer, Quota};
use super::keys::Keys;

/// Name of every grant.
const GRANT: &str = "kakunin-workload";

impl Keys {
    /// A grant of the same name with the same contents is the same grant, so that asking again is safe.
    pub(super) async fn grant(&self, arn: &str, principal: &Principal) -> Result<KeyGrant, SignError> {
        self.not_retired("grant", arn).await?;
        let asked = self.calls.call(Quota::Manage, |kms| {
            kms.create_grant()
                .key_id(arn)
                .grantee_principal(principal.as_str())
                .operations(GrantOperation::Sign)
                .operations(GrantOperation::GetPublicKey)
                .name(GRANT)
                .send()
        });
        match asked.await {
            Ok(Answer { value, .. }) => Ok(KeyGrant {
                id: value.grant_id.unwrap_or_default(),
                token: value.grant_token.unwrap_or_default(),
            }),
            Err(failure) => Err(self.explained("grant", arn, failure).await),
        }
    }

    /// Ends every grant of that name, on however many pages they are.
    pub(super) async fn ungrant(&self, arn: &str) -> Result<(), SignError> {
        let mut marker: Option<String> = None;
        loop {
            let asked = self
                .calls
                .call(Quota::Manage, |kms| kms.list_grants().key_id(arn).set_marker(marker.clone()).send());
            let page = match asked.await {
                Ok(Answer { value, .. }) => value,
                Err(failure) => return Err(self.explained("list the grants", arn, failure).await),
            };
            let ours =
                page.grants.unwrap_or_default().into_iter().filter(|g| g.name.as_deref() == Some(GRANT));
            for id in ours.filter_map(|grant| grant.grant_id) {
                let asked = self
                    .calls
                    .call(Quota::Manage, |kms| kms.revoke_grant().key_id(arn).grant_id(id.clone()).send());
                match asked.await {
                    Ok(_) => {}
                    // Somebody else ended it.
                    Err(failure)
                        if failure.is("NotFoundException") || failure.is("InvalidGrantIdException") => {}
                    Err(failure) => return Err(self.explained("end a grant", arn, failure).await),
                }
            }
            marker = page.next_marker.filter(|_| page.truncated);
            if marker.is_none() {
                return Ok(());
            }
        }
    }
}
