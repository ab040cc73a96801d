//! The scripts: one library of functions, a function for each operation. The server reads the library once, so that a call
//! costs what it does and not the making of its helpers (measured: 20 of 50 microseconds). The library is named for the hash
//! of its text: two versions of this program use one server side by side, each with its own.

use std::sync::LazyLock;

/// A script.
pub(super) struct Script {
    /// What it does, for errors: completes "failed to ...".
    pub operation: &'static str,
    /// Its name in the server.
    pub function: String,
}

/// The names of all libraries of this program, of any version, begin so.
pub(super) const LIBRARY_PREFIX: &str = "everloop_";

/// The parts that operations share, in their order.
const PARTS: [&str; 11] = [
    include_str!("lua/parts/call.lua"),
    include_str!("lua/parts/writes.lua"),
    include_str!("lua/parts/record.lua"),
    include_str!("lua/parts/grants.lua"),
    include_str!("lua/parts/changes.lua"),
    include_str!("lua/parts/outbox.lua"),
    include_str!("lua/parts/open.lua"),
    include_str!("lua/parts/turn.lua"),
    include_str!("lua/parts/ended.lua"),
    include_str!("lua/parts/outcome.lua"),
    include_str!("lua/parts/library.lua"),
];

macro_rules! scripts {
    ($($name:ident = $operation:literal, $begin:ident;)*) => {
        /// All scripts, by operation.
        pub(super) struct Scripts {
            /// The name of the library.
            pub library: String,
            /// Its whole text.
            pub code: String,
            $(pub $name: Script,)*
        }

        /// Put together once.
        pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| {
            let mut body = PARTS.concat();
            $(body.push_str(&format!(
                "\nregister('{}', {}, function()\n{}\nend)\n",
                stringify!($name), stringify!($begin), include_str!(concat!("lua/", stringify!($name), ".lua"))
            ));)*
            let hash = redis::Script::new(&body).get_hash().to_owned();
            let library = format!("{LIBRARY_PREFIX}{hash}");
            Scripts {
                code: format!("#!lua name={library}\nlocal HASH = '{hash}'\n{body}"),
                $($name: Script { operation: $operation, function: format!("{}_{hash}", stringify!($name)) },)*
                library,
            }
        });
    };
}

scripts! {
    start = "start a run", on_runs;
    begin = "start a run", begin_time;
    deliver = "deliver an event", on_runs;
    control = "control a run", on_runs;
    claim = "claim work", on_runs;
    claim_external = "claim work", on_runs;
    commit = "commit a turn", on_runs;
    finish = "finish an attempt", on_runs;
    settle = "settle attempts", on_runs;
    step = "commit a turn", begin_time;
    leases = "list the leases of a session", on_runs;
    release = "release a lease", on_runs;
    extend = "extend a lease", on_runs;
    open_session = "open a session", plain;
    renew_session = "renew a session", plain;
    end_session = "end a session", on_runs;
    drain_session = "mark a session to be drained", plain;
    expired_sessions = "find expired sessions", on_runs;
    fire = "fire what is due", on_runs;
    sweep = "sweep closed runs", on_runs;
    outbox = "read an outbox", plain;
    receive = "receive messages", on_runs;
    sent = "clear an outbox", plain;
    run = "read a run", on_runs;
    journal = "read a journal", on_runs;
    changes = "read what has changed", on_runs;
    counts = "count", plain;
    load = "read the load", on_runs;
    recount = "count open runs", on_runs;
    generation = "keep a definition", plain;
    define = "define a workflow", plain;
    defined = "define a workflow", plain;
    next_term = "give a term", plain;
    meta = "open the store", plain;
}
