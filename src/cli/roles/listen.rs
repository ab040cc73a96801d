//! Binding the address to serve on.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::cli::error::{CliError, Exit, RoleCode};

/// Where people and workers look when nothing else was said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7400";

/// Connections that may wait to be accepted; the system's bound may be lower. One that finds no room tries again after a second.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds, and says what to change when that does not work: `option` is how the address was given.
pub fn bind(address: SocketAddr, option: &str) -> Result<TcpListener, CliError> {
    listen(address).map_err(|error| {
        let next = match error.kind() {
            ErrorKind::AddrInUse => {
                format!("stop the other program (`ss -ltnp 'sport = :{}'` names it), or choose another port with {option}", address.port())
            }
            ErrorKind::PermissionDenied => format!("ports under 1024 are for root: choose another one with {option}"),
            _ => format!("choose an address of this machine with {option}, such as 127.0.0.1:7400 or 0.0.0.0:7400"),
        };
        let why = match error.kind() {
            ErrorKind::AddrInUse => "another program listens there already".to_owned(),
            _ => error.to_string(),
        };
        let code = if error.kind() == ErrorKind::AddrInUse { RoleCode::AddressInUse } else { RoleCode::AddressUnusable };
        CliError::Role { code, what: format!("failed to listen on {address}: {why}"), next, exit: Exit::Usage }
    })
}
