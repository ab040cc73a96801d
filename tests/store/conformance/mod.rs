//! What the port promises, operation by operation, on every store.

mod definitions;
mod mail;
mod optimistic;
mod starts;
mod turns;
