//! Signals that nobody will read: refused before they are acknowledged, when reading the source tells which ones are read.

use crate::api::{Code, Definition, Problem};

/// The signals that a definition's code reads; `None` when reading it does not tell.
#[must_use]
pub fn readable(definition: &Definition) -> Option<Vec<String>> {
    crate::source::signals(&definition.source)
}

/// Why a signal is refused: its name is none of those that the code reads.
#[must_use]
pub fn unread_signal(signals: Option<&[String]>, name: &str) -> Option<Problem> {
    let signals = signals?;
    if signals.iter().any(|known| known == name) {
        return None;
    }
    let problem = Problem::new(Code::UnknownSignal, format!("the run's code reads no signal {name:?}, so it would wait for ever"));
    let nearest = signals.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    Some(match nearest {
        Some(near) if strsim::jaro_winkler(near, name) > 0.8 => {
            problem.next(format!("send {near:?}, or add signal({name:?}) to the source"))
        }
        Some(_) => problem.next(format!("send one of: {}", signals.join(", "))),
        None => problem.next(format!("the code reads no signals at all; add await signal({name:?}) to the source")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_signal_is_refused_with_the_right_name() {
        let signals = ["approved".to_owned(), "rejected".to_owned()];
        assert_eq!(unread_signal(Some(&signals), "approved"), None);
        assert_eq!(unread_signal(None, "anything"), None);
        let problem = unread_signal(Some(&signals), "aproved").unwrap();
        assert_eq!(problem.code, Code::UnknownSignal);
        assert!(problem.next.contains("\"approved\""), "{}", problem.next);
        assert!(unread_signal(Some(&[]), "x").is_some());
    }
}
