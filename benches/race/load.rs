//! Runs, started one after another or many at once.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What a run does.
#[derive(Clone, Copy)]
pub enum Program {
    /// One step that returns what it was given.
    One,
    /// So many steps, one after another, each likewise.
    Steps(u32),
    /// So many steps, one after another, each of so many milliseconds.
    Slow(u32, u32),
    /// So many steps at once, performed by another process.
    FanOut(u32),
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Steps(_) => "steps",
            Self::Slow(..) => "slow",
            Self::FanOut(_) => "fanout",
        }
    }

    /// The input of its runs, the same in every system.
    pub fn input(self, payload: &Value) -> Value {
        match self {
            Self::One => payload.clone(),
            Self::Steps(n) | Self::FanOut(n) => json!({"n": n, "payload": payload}),
            Self::Slow(n, ms) => json!({"n": n, "ms": ms}),
        }
    }
}

/// How many runs at once, and until when new ones begin.
#[derive(Clone, Copy)]
pub struct Load {
    pub at_once: u32,
    pub window: Duration,
    pub runs_min: u32,
    pub runs_max: u32,
}

impl Load {
    /// One after another.
    pub fn alone(window: Duration) -> Self {
        Self { at_once: 1, window, runs_min: 3, runs_max: 1_000 }
    }

    pub fn saturating(window: Duration) -> Self {
        Self { at_once: 256, window, runs_min: 256, runs_max: 1_000_000 }
    }

    /// All at once, each once.
    pub fn burst(runs: u32) -> Self {
        Self { at_once: runs, window: Duration::ZERO, runs_min: runs, runs_max: runs }
    }

    /// Whether a further run begins.
    fn goes_on(&self, begun: u32, since: Instant) -> bool {
        begun < self.runs_max && (begun < self.runs_min || since.elapsed() < self.window)
    }
}

/// What came of it.
pub struct Batch {
    /// From the first start to the last result.
    pub seconds: f64,
    /// From start to result, of each run.
    pub latencies_ms: Vec<f64>,
}

impl Batch {
    #[expect(clippy::cast_precision_loss, reason = "far fewer runs than a float can count")]
    pub fn rate(&self) -> f64 {
        self.latencies_ms.len() as f64 / self.seconds
    }
}

/// Makes `run` so often and so many at once as the load says.
pub async fn drive(load: Load, run: impl AsyncFn()) -> Batch {
    let begin = Instant::now();
    let (begun, latencies) = (RefCell::new(0), RefCell::new(Vec::new()));
    let clients = (0..load.at_once).map(|_| async {
        while load.goes_on(*begun.borrow(), begin) {
            *begun.borrow_mut() += 1;
            let started = Instant::now();
            run().await;
            latencies.borrow_mut().push(started.elapsed().as_secs_f64() * 1_000.0);
        }
    });
    futures_util::future::join_all(clients).await;
    Batch { seconds: begin.elapsed().as_secs_f64(), latencies_ms: latencies.into_inner() }
}
