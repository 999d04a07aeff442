//! What to type or to send, for errors of the core, which knows no command and no route.

use kakunin_core::issue::IssueError;
use kakunin_core::service::Error;

/// An error of the core as a user of this server reads it.
pub(crate) fn advised(error: &Error) -> String {
    let advice = match error {
        Error::Issue(IssueError::IssuerExpired(_) | IssueError::IssuerRevoked(_)) => {
            "stop the server, then `kakunin ca rotate`, or under an offline root `ca request`, `ca sign-issuing` there, and \
             `ca install`"
        }
        Error::Issue(IssueError::IssuerNotYetValid(_)) => "`kakunin ca rotate`",
        Error::SharedIssuer => "`kakunin ca rotate --tenant`",
        Error::Suspended(agent) => {
            return format!("{error}: `POST /api/v1/agents/{agent}/reinstate`; a hold is released instead");
        }
        Error::VerdictNeeded(agent) => {
            return format!("{error}: `POST /api/v1/agents/{agent}/verdict`");
        }
        Error::SecondPerson => {
            "release its certificate, which asks for one: `POST /api/v1/certificates/{id}/release`"
        }
        Error::NotTripped => "`GET /api/v1/tenants/{id}/breaker`",
        _ => return error.to_string(),
    };
    format!("{error}: {advice}")
}
