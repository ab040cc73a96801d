//! The first entry of a journal, as a store keeps it. It says what the run is, and for a run that waits after its first turn that is most
//! of what is kept of it: words that are the same in all runs, and digits. So the words are one byte each here, and the digits are
//! written in 64 letters instead of 16.
//!
//! The bytes are control characters. JSON has none but blanks, so an entry that is written out stays as it is, and whatever stands between
//! the words is copied. A word means the same for ever; a new one gets a new byte.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as LETTERS;

use crate::api::ids::hex;

/// What begins an entry in shorthand: its first word.
const BEGIN: char = '\u{1}';
/// A longer text is mostly payload: not worth the search for words.
const SEARCHED_BYTES_MAX: usize = 2_048;

/// A word, and the digits that follow it with what stands behind them.
struct Word {
    byte: char,
    text: &'static str,
    digits: Option<(Digits, &'static str)>,
}

#[derive(Clone, Copy)]
enum Digits {
    /// A head: 16.
    Head,
    /// A uid: 32, and four dashes.
    Uid,
    /// A version: 64.
    Version,
}

const fn word(byte: char, text: &'static str) -> Word {
    Word { byte, text, digits: None }
}

const WORDS: [Word; 13] = [
    Word { byte: BEGIN, text: r#"{"v":1,"turn":0,"id":""#, digits: Some((Digits::Head, r#"","at":"#)) },
    word('\u{2}', r#","worker":""#),
    Word { byte: '\u{3}', text: r#"","birth":{"uid":""#, digits: Some((Digits::Uid, r#"","workflow":""#)) },
    Word { byte: '\u{4}', text: r#"","version":""#, digits: Some((Digits::Version, r#"","engine":""#)) },
    word('\u{5}', r#"quickjs-ng 0.16.2","flags":[]},"events":["#),
    word('\u{6}', r#"],"commands":["#),
    word('\u{7}', r#"{"StartTimer":{"n":"#),
    word('\u{8}', r#","name":"sleep","duration":""#),
    word('\u{b}', r#"{"ScheduleActivity":{"n":"#),
    word('\u{c}', r#","name":""#),
    word('\u{e}', r#","argument":"#),
    word('\u{f}', r#","at":""#),
    word('\u{10}', r#""}}]}"#),
];

impl Digits {
    /// How many letters they are.
    fn letters(self) -> usize {
        match self {
            Self::Head => 11,
            Self::Uid => 22,
            Self::Version => 43,
        }
    }

    /// The letters for the digits that a text begins with, and how many bytes those are.
    fn read(self, text: &str) -> Option<(String, usize)> {
        let length = match self {
            Self::Head => 16,
            Self::Uid => 36,
            Self::Version => 64,
        };
        let digits = text.get(..length)?;
        let letters = LETTERS.encode(raw(digits).collect::<Vec<_>>());
        // Only what comes back to the letter: capitals and other dashes would not.
        (self.write(&letters)? == digits).then_some((letters, length))
    }

    /// The digits that letters stand for.
    fn write(self, letters: &str) -> Option<String> {
        let bytes = LETTERS.decode(letters).ok()?;
        match self {
            Self::Head | Self::Version => Some(hex(&bytes)),
            Self::Uid => uuid::Uuid::from_slice(&bytes).ok().map(|uid| uid.to_string()),
        }
    }
}

/// The bytes that pairs of hexadecimal digits stand for; whatever is no digit is left out.
pub(crate) fn raw(digits: &str) -> impl Iterator<Item = u8> {
    let mut bits = digits.chars().filter_map(|digit| digit.to_digit(16)).filter_map(|bits| u8::try_from(bits).ok());
    std::iter::from_fn(move || Some((bits.next()? << 4) | bits.next()?))
}

/// A first entry in shorthand, when it can be: what stands before its events, and after them.
#[must_use]
pub(super) fn shortened(before: &str, after: &str) -> Option<(String, String)> {
    let before = shorten(before);
    before.starts_with(BEGIN).then(|| (before, shorten(after)))
}

fn shorten(text: &str) -> String {
    if text.len() > SEARCHED_BYTES_MAX {
        return text.to_owned();
    }
    let (mut short, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(letter) = rest.chars().next() {
        let taken = WORDS.iter().find_map(|word| word.shorten(rest, &mut short));
        let length = taken.unwrap_or_else(|| {
            short.push(letter);
            letter.len_utf8()
        });
        rest = &rest[length..];
    }
    short
}

impl Word {
    /// Writes it, when the text begins with it; how many bytes of the text that is.
    fn shorten(&self, text: &str, short: &mut String) -> Option<usize> {
        let after = text.strip_prefix(self.text)?;
        let Some((digits, behind)) = self.digits else {
            short.push(self.byte);
            return Some(self.text.len());
        };
        let (letters, length) = digits.read(after)?;
        after[length..].strip_prefix(behind)?;
        short.push(self.byte);
        short.push_str(&letters);
        Some(self.text.len() + length + behind.len())
    }
}

/// An entry as JSON, however it is kept. What is damaged comes out as no JSON.
#[must_use]
pub fn written_out(entry: Cow<'_, str>) -> Cow<'_, str> {
    if !entry.starts_with(BEGIN) {
        return entry;
    }
    let (mut text, mut rest) = (String::with_capacity(entry.len() + 512), &*entry);
    while let Some(at) = rest.find(|letter: char| WORDS.iter().any(|word| word.byte == letter)) {
        text.push_str(&rest[..at]);
        let word = WORDS.iter().find(|word| rest[at..].starts_with(word.byte)).expect("a word was found");
        text.push_str(word.text);
        rest = &rest[at + 1..];
        let Some((digits, behind)) = word.digits else { continue };
        if let Some((letters, after)) = rest.split_at_checked(digits.letters())
            && let Some(digits) = digits.write(letters)
        {
            text.push_str(&digits);
            text.push_str(behind);
            rest = after;
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENTRY: &str = r#"{"v":1,"turn":0,"id":"9c3241f7b00d48b2","at":1796077246270,"worker":"bench","birth":{"uid":"01a22e8b-d60c-7769-a10c-303393d0e5d7","workflow":"sleeper","version":"1bcf6442a648bc2b3c9da4c99e40c44a6738c52b0287f23f120651cf26972cb4","engine":"quickjs-ng 0.16.2","flags":[]},"events":[{"Started":{"input":null}}],"commands":[{"StartTimer":{"n":0,"name":"sleep","duration":"1h","at":"1:82"}}]}"#;

    /// The first entry that was ever kept so: it must be read for ever.
    const GOLDEN: &str = "\u{1}nDJB97ANSLI1796077246270\u{2}bench\u{3}AaIui9YMd2mhDDAzk9Dl1wsleeper\u{4}G89kQqZIvCs8naTJnkDESmc4xSsCh_I_EgZRzyaXLLQ\u{5}{\"Started\":{\"input\":null}}\u{6}\u{7}0\u{8}1h\"\u{f}1:82\u{10}";

    #[test]
    fn the_first_entry_of_a_sleeper_is_kept_in_few_bytes() {
        assert_eq!(shorten(ENTRY), GOLDEN);
        assert_eq!(written_out(GOLDEN.into()), ENTRY);
        assert!(GOLDEN.len() < 150, "{}", GOLDEN.len());
    }

    #[test]
    fn an_entry_that_is_written_out_stays_as_it_is() {
        assert!(matches!(written_out(ENTRY.into()), Cow::Borrowed(text) if text == ENTRY));
    }

    #[test]
    fn digits_that_would_not_come_back_to_the_letter_stay() {
        for odd in [
            ENTRY.replace("01a22e8b-d60c", "01A22e8b-d60c"),
            ENTRY.replace("01a22e8b-d60c", "01a22e8bd-60c"),
            ENTRY.replace("1bcf", "1bcF"),
        ] {
            let (short, nothing) = shortened(&odd, "").unwrap();
            assert_eq!((written_out(short.into()), nothing.as_str()), (odd.into(), ""));
        }
        assert_eq!(shortened(&ENTRY.replace("9c3241f7", "9C3241F7"), "]}"), None, "it could not be told from one that is written out");
        assert_eq!(shortened(&ENTRY.replace("bench", &"b".repeat(3_000)), "]}"), None);
    }

    #[test]
    fn what_is_damaged_is_no_json_and_no_panic() {
        for cut in 0..GOLDEN.len() {
            let damaged = written_out(GOLDEN[..cut].into());
            assert!(serde_json::from_str::<serde_json::Value>(&damaged).is_err(), "{cut}: {damaged}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_between_the_words_comes_back(payload in "[ -~\u{e9}\\n]{0,80}", worker in "[a-z0-9-]{1,40}", engine in "[a-z. ]{1,20}") {
            let payload = serde_json::to_string(&payload).unwrap();
            let entry = ENTRY.replace("null", &payload).replace("bench", &worker).replace("quickjs-ng", &engine).replace("1:82", &payload[1..payload.len() - 1]);
            prop_assert_eq!(written_out(shorten(&entry).into()), entry);
        }
    }
}
