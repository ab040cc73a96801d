//! What the port promises, operation by operation, on every store.

mod activities;
mod chains;
mod changes;
mod control;
mod definitions;
mod due;
mod lineage;
mod load;
mod mail;
mod messages;
mod open;
mod optimistic;
mod reading;
mod sessions;
mod starts;
mod turns;
