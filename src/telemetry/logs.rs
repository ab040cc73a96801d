//! Logs on standard error, filtered by `EVERLOOP_LOG`.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("log format {other:?} is not valid: text or json")),
        }
    }
}

/// The variable with the filter, such as `debug` or `everloop=debug,warn`.
pub const FILTER_VARIABLE: &str = "EVERLOOP_LOG";

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error("failed to read {FILTER_VARIABLE}: {0}; write a level such as info, or everloop=debug,warn")]
    Filter(#[from] tracing_subscriber::filter::FromEnvError),
    /// It was done before in this process.
    #[error("failed to set up logs: {0}")]
    Taken(Box<dyn std::error::Error + Send + Sync>),
}

/// Sets up the logs of the process. Once per process.
///
/// # Errors
/// [`Error`].
pub fn init(format: Format) -> Result<(), Error> {
    let filter = EnvFilter::builder().with_env_var(FILTER_VARIABLE).with_default_directive(LevelFilter::INFO.into()).from_env()?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => {
            use std::io::IsTerminal;
            builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
        }
        Format::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(Error::Taken)
}
