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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    /// Answers everything, and counts.
    struct Answering(Arc<AtomicU32>);

    impl Service<Request<Body>> for Answering {
        type Response = Response<()>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<()>, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(Response::new(())))
        }
    }

    #[tokio::test]
    async fn past_the_deadline_nothing_is_written_and_all_can_be_read() {
        let (sent, metrics) = (Arc::new(AtomicU32::new(0)), Arc::new(Metrics::new()));
        let fence = Fence { deadline: Deadline::new(Instant::now() + Duration::from_hours(1)), metrics: metrics.clone() };
        let mut service = fence.layer(Answering(sent.clone()));
        let mut ask = |method: &Method| service.call(Request::builder().method(method).body(Body::empty()).unwrap());
        let all = [Method::GET, Method::PATCH, Method::POST, Method::PUT, Method::DELETE];
        for method in &all {
            assert!(ask(method).await.is_ok(), "{method} before the deadline");
        }
        fence.deadline.set(Instant::now());
        assert!(ask(&Method::GET).await.is_ok());
        for method in &all[1..] {
            let refused = ask(method).await.unwrap_err();
            assert!(refused.is::<NoLongerLeading>(), "{method}: {refused}");
        }
        assert_eq!((sent.load(Ordering::Relaxed), metrics.writes_held_back.get()), (6, 4));
        fence.deadline.set(Instant::now() + Duration::from_hours(1));
        assert!(ask(&Method::PATCH).await.is_ok(), "it leads again");
    }
}
