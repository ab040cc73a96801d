//! The border: what every request passes, once. It gets an id and a principal, it is counted and bounded, a panic is contained,
//! and a refusal becomes problem+json.

pub mod body;
pub mod extract;
mod fence;
pub mod principal;
pub mod problem;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument as _;

use self::problem::Refused;
use super::service::{Service, Shared};
use crate::api::{Code, Problem};
use crate::telemetry::metrics::RequestLabels;

/// Names a request in logs, answers and problems.
const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_BYTES_MAX: usize = 128;
/// What operators and probes ask is never refused for load.
const ALWAYS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The middleware of all routes.
pub async fn border(State(service): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let answer = match principal::authenticate(request.headers()) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            // What is logged on the way names the request.
            let span = tracing::error_span!("request", id = id.to_str().unwrap_or_default());
            admitted(&service, &route, request, next).instrument(span).await
        }
        Err(refused) => refused.into_response(),
    };
    let mut response = problem::finish(answer, id.to_str().unwrap_or_default());
    service.metrics.requests.get_or_create(&RequestLabels { route, status: response.status().as_u16() }).inc();
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn admitted(service: &Service, route: &str, request: Request, next: Next) -> Response {
    let under_way = UnderWay::new(service);
    if under_way.0 > service.config.in_flight_max && !ALWAYS.contains(&route) {
        let problem = Problem::new(Code::Overloaded, "this replica has as many requests under way as it takes");
        return Refused::from(problem.next("repeat the request after a second")).into_response();
    }
    if let Err(refused) = fence::check(service, request.headers()).await {
        return refused.into_response();
    }
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("");
        tracing::error!(route, panic = said, "a request panicked");
        service.metrics.panics.inc();
        Refused::from(Problem::new(Code::Internal, "the service failed on this request; its log says more")).into_response()
    })
}

/// Counts a request while it is under way.
struct UnderWay<'a>(usize, &'a Service);

impl<'a> UnderWay<'a> {
    fn new(service: &'a Service) -> Self {
        service.metrics.in_flight.inc();
        Self(service.in_flight.fetch_add(1, Ordering::Relaxed) + 1, service)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.1.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.1.metrics.in_flight.dec();
    }
}

/// The caller's, when it is short and printable; else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic)
    });
    let fresh = || HeaderValue::try_from(format!("{:016x}", rand::random::<u64>())).expect("hexadecimal digits make a header");
    given.cloned().unwrap_or_else(fresh)
}

/// No such route.
pub async fn not_found(request: Request) -> Refused {
    Problem::new(Code::NotFound, format!("there is no {}", request.uri().path())).next("see /openapi.json for all routes").into()
}

/// The route has other methods.
pub async fn method_not_allowed(request: Request) -> Refused {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(Code::MethodNotAllowed, detail).next("the answer's Allow header has the methods; see /openapi.json").into()
}
