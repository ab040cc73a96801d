//! Under which name this program was started: `everloop`, or `kubectl-everloop`, which kubectl runs for `kubectl everloop`.

use std::ffi::OsStr;
use std::path::Path;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// By itself.
    Everloop,
    /// As a plugin: whoever types that means the cluster.
    Kubectl,
}

impl Program {
    /// By the first argument of the process.
    pub fn of(first: Option<&OsStr>) -> Self {
        let name = first.and_then(|path| Path::new(path).file_stem());
        if name == Some(OsStr::new("kubectl-everloop")) { Self::Kubectl } else { Self::Everloop }
    }

    /// What is typed.
    pub fn words(self) -> &'static str {
        match self {
            Self::Everloop => "everloop",
            Self::Kubectl => "kubectl everloop",
        }
    }

    /// A text with its advice as it is typed here.
    pub fn spell(self, text: String) -> String {
        match self {
            Self::Everloop => text,
            Self::Kubectl => text.replace("`everloop ", "`kubectl everloop "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_decides() {
        for (first, program) in [
            (Some("everloop"), Program::Everloop),
            (Some("/usr/bin/kubectl-everloop"), Program::Kubectl),
            (Some("kubectl-everloop.exe"), Program::Kubectl),
            (Some("/opt/kubectl-everloop/everloop"), Program::Everloop),
            (Some(""), Program::Everloop),
            (None, Program::Everloop),
        ] {
            assert_eq!(Program::of(first.map(OsStr::new)), program, "{first:?}");
        }
        assert_eq!(
            Program::Kubectl.spell("next:  `everloop list`, `everloop get x`".into()),
            "next:  `kubectl everloop list`, `kubectl everloop get x`"
        );
    }
}
