//! A leader that does not know whether it still leads writes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

use crate::operator::metrics::{Metrics, RequestLabels};

/// Until when this process may write, on its own clock, which stands still for nobody.
#[derive(Debug, Clone)]
pub(super) struct Deadline(Arc<Mutex<Instant>>);

impl Deadline {
    pub(super) fn new(at: Instant) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    pub(super) fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn is_past(&self) -> bool {
        Instant::now() >= self.get()
    }
}

/// A write after the deadline.
#[derive(Debug, thiserror::Error)]
#[error("this operator does not know any more that it leads: it writes nothing")]
struct NoLongerLeading;

/// Stands before every request of the controllers to the API server, and counts them.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    pub(super) deadline: Deadline,
    pub(super) metrics: Arc<Metrics>,
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced { inner, fence: self.clone() }
    }
}

/// A client's service behind a [`Fence`].
#[derive(Debug, Clone)]
pub(super) struct Fenced<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<Body>> for Fenced<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.method().clone();
        let (metrics, labels) = (self.fence.metrics.clone(), RequestLabels::new(&method));
        if method != Method::GET && self.fence.deadline.is_past() {
            metrics.writes_held_back.inc();
            return Box::pin(async { Err(NoLongerLeading.into()) });
        }
        metrics.requests.get_or_create(&labels).inc();
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}
