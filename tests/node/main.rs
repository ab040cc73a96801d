//! Everloop on a node: the image in containers, with services, DNS and volumes, while pods and containers are killed.
//!
//! `cluster.rs` starts a cluster on this machine (tests/cluster/kube), or uses the one of `EVERLOOP_TEST_KUBECONFIG`. What needs no
//! pods is tested faster in tests/cluster.

mod cluster;
mod discovery;
mod faults;
mod first_result;
mod food_orders;
mod image;
mod installation;
mod lifecycle;
mod namespace;
mod orders;
#[path = "../support/process.rs"]
mod process;
mod restart;
mod rolling;
mod scale_in;
mod scaling;
mod takeover;
mod timers;
mod told;
mod trouble;
