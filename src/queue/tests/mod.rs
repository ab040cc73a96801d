//! The service over real HTTP, in front of the embedded store, with the worker's protocol driven by hand.

mod border;
mod changes;
mod draining;
mod fence;
mod grants;
mod harness;
mod holders;
mod outage;
mod pools;
mod repeats;
mod runs;
mod sessions;
mod steps;
mod tasks;
mod timers;
