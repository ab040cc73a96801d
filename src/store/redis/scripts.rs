//! The scripts: each is its parts and its own file in one text, known to the server by the hash of the whole.

use std::sync::LazyLock;

/// A script.
pub(super) struct Script {
    /// What it does, for errors: completes "failed to ...".
    pub operation: &'static str,
    pub code: String,
    /// SHA-1 of the code, hexadecimal.
    pub hash: String,
}

const RECORD: &str = include_str!("lua/parts/record.lua");
const GRANTS: &str = include_str!("lua/parts/grants.lua");
const TURN: &str = include_str!("lua/parts/turn.lua");

fn script(operation: &'static str, parts: &[&str]) -> Script {
    let code = parts.concat();
    let hash = redis::Script::new(&code).get_hash().to_owned();
    Script { operation, code, hash }
}

macro_rules! scripts {
    ($($name:ident = $operation:literal, [$($part:ident),*], $file:literal;)*) => {
        /// All scripts, by operation.
        pub(super) struct Scripts { $(pub $name: Script,)* }

        impl Scripts {
            pub fn all(&self) -> Vec<&Script> {
                vec![$(&self.$name,)*]
            }
        }

        /// Put together once.
        pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
            $($name: script($operation, &[$($part,)* include_str!(concat!("lua/", $file, ".lua"))]),)*
        });
    };
}

scripts! {
    start = "start a run", [RECORD, GRANTS], "start";
    deliver = "deliver an event", [RECORD, GRANTS], "deliver";
    control = "control a run", [RECORD, GRANTS, TURN], "control";
    claim = "claim work", [RECORD, GRANTS], "claim";
    claim_external = "claim work", [RECORD, GRANTS], "claim_external";
    commit = "commit a turn", [RECORD, GRANTS, TURN], "commit";
    finish = "finish an attempt", [RECORD, GRANTS, TURN], "finish";
    release = "release a lease", [RECORD, GRANTS], "release";
    extend = "extend a lease", [RECORD], "extend";
    open_session = "open a session", [], "open_session";
    renew_session = "renew a session", [], "renew_session";
    end_session = "end a session", [RECORD, GRANTS], "end_session";
    expired_sessions = "find expired sessions", [RECORD], "expired_sessions";
    fire = "fire what is due", [RECORD, GRANTS], "fire";
    sweep = "sweep closed runs", [RECORD], "sweep";
    run = "read a run", [RECORD], "run";
    journal = "read a journal", [RECORD], "journal";
    counts = "count", [], "counts";
    generation = "keep a definition", [], "generation";
    define = "define a workflow", [], "define";
    meta = "open the store", [], "meta";
}
