//! What is typed and what is read, without a server.

mod arguments;
mod errors;
mod output;
mod sample;
mod timeline;
