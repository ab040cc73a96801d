//! One file per command: its arguments, what it asks, what it prints.

pub mod apply;
pub mod cancel;
pub mod check;
pub mod completion;
pub mod get;
pub mod journal;
pub mod list;
pub mod pause;
pub mod pool;
pub mod pools;
pub mod result;
pub mod resume;
pub mod retire;
pub mod run;
pub mod signal;
pub mod simulate;
pub mod terminate;
pub mod watch;
pub mod workers;
pub mod workflows;
