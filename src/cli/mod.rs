//! The command line: arguments, output, one file per command.
//!
//! Owns what a person types and reads. Data goes to stdout, talk to stderr; what programs read (`-o json|yaml`) is the shape
//! that travels over HTTP. Commands know the service only through [`crate::client`], and a cluster only
//! through [`crate::discovery`]. Deliberately absent: decisions about
//! runs, and anything that a second client would need as well.

mod args;
mod chart;
mod commands;
mod context;
mod demo;
mod error;
mod input;
mod main;
mod output;
mod program;
#[cfg(test)]
mod reference;
mod roles;
mod server;
mod table;
#[cfg(test)]
mod tests;
mod timeline;
mod when;

pub use main::main;
