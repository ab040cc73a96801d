//! Who asks. Taken in one place, so that authentication and authorisation have one place to go.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::problem::Refused;
use crate::api::{Code, Problem};

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody in particular: the service trusts its network.
    Anonymous,
}

/// Finds the principal of a request.
///
/// # Errors
/// None yet: everybody is anonymous.
#[expect(clippy::unnecessary_wraps, reason = "refusing is what it is for")]
pub fn authenticate(_headers: &HeaderMap) -> Result<Principal, Refused> {
    Ok(Principal::Anonymous)
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let missing = || Problem::new(Code::Internal, "a request passed the border without a principal");
        parts.extensions.get::<Self>().cloned().ok_or_else(|| missing().into())
    }
}
