//! Ids and names. Each is checked where it enters, so that a value of its type is always legal in a key, a path and a log line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::limits;

/// Why a text is not an id of its kind. Completes "failed to read ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {rule}")]
pub struct InvalidId {
    /// What it should have been: `run id`, `name`, ...
    pub kind: &'static str,
    /// The text as it was given, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

fn invalid(kind: &'static str, text: &str, rule: &'static str) -> InvalidId {
    InvalidId { kind, text: text.chars().take(80).collect(), rule }
}

macro_rules! text_id {
    ($(#[doc = $doc:literal])* $name:ident, $check:expr) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> Result<(), InvalidId> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                super::schema::text(concat!($($doc, "\n"),*))
            }
        }

        impl utoipa::ToSchema for $name {}

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A name as Kubernetes has them (RFC 1123 label): namespaces, workflows, pools, external queues. 1 to 63 of `a-z 0-9 -`.
    Name,
    |text| {
        let ok = !text.is_empty()
            && text.len() <= limits::NAME_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if ok {
            Ok(())
        } else {
            Err(invalid("name", text, "1 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or a digit"))
        }
    }
);

text_id!(
    /// The id of a run inside its namespace, chosen by the caller or made. 1 to 255 bytes of printable ASCII without blanks,
    /// `"`, `\`, `#`, `|`, `{`, `}`, `?` and `%`. Children are named `<parent>/<name>`, so that a family shares a partition.
    RunId,
    |text| {
        let ok = !text.is_empty()
            && text.len() <= limits::RUN_ID_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\#|{}?%".contains(&b))
            && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if ok {
            Ok(())
        } else {
            Err(invalid("run id", text, "1 to 255 printable ASCII characters without blanks and none of \" \\ # | { } ? %; parts between '/' not empty, '.' or '..'"))
        }
    }
);

text_id!(
    /// A worker's session. Made by the queue service, never used twice. It names the worker and its pool, so that every
    /// replica can serve it without looking it up.
    SessionId,
    |text| {
        let ok = !text.is_empty() && text.len() <= limits::SESSION_ID_BYTES_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if ok { Ok(()) } else { Err(invalid("session id", text, "1 to 128 letters, digits and '-'")) }
    }
);

text_id!(
    /// What a start, a continuation or a reset makes anew: a UUIDv7 in its 36 character form.
    Uid,
    |text| uuid::Uuid::parse_str(text).map(|_| ()).map_err(|_| invalid("uid", text, "a UUID"))
);

text_id!(
    /// A version of a definition: the SHA-256 of its canonical form, 64 hexadecimal digits.
    Version,
    |text| {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(())
        } else {
            Err(invalid("version", text, "64 hexadecimal digits in lower case"))
        }
    }
);

text_id!(
    /// Where a run comes from, when somebody follows it: `kubernetes`, or `kubernetes/<uid of the object that owns it>`. 1 to 128 letters,
    /// digits, `-`, `.` and `/`.
    Origin,
    |text| {
        let ok = !text.is_empty()
            && text.len() <= limits::ORIGIN_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b));
        if ok { Ok(()) } else { Err(invalid("origin", text, "1 to 128 letters, digits, '-', '.' and '/'")) }
    }
);

impl Version {
    /// The version that a canonical form has.
    #[must_use]
    pub fn of(canonical: &str) -> Self {
        Self(hex(&Sha256::digest(canonical.as_bytes())).into())
    }

    /// The first eight digits: what tables show.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

/// Two lower-case hexadecimal digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |bits: u8| char::from_digit(u32::from(bits), 16).unwrap_or_default();
    let mut text = String::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| text.extend([digit(byte >> 4), digit(byte & 15)]));
    text
}

/// A run's full name: `namespace/id`, the form of it in keys.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunKey {
    /// The namespace, as in Kubernetes.
    pub namespace: Name,
    /// The id inside of it.
    pub id: RunId,
}

impl RunKey {
    /// The partition of this run, of `partitions`: a hash of the namespace and of the root of the id (the part before the
    /// first `/`). Nothing else decides it, or a run could not be found and could be started twice.
    #[must_use]
    pub fn partition(&self, partitions: u16) -> Partition {
        let root = self.id.as_str().split('/').next().unwrap_or_default();
        Partition::of(&[self.namespace.as_str(), root], partitions)
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

impl FromStr for RunKey {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (namespace, id) = text.split_once('/').ok_or_else(|| invalid("run", text, "namespace/id"))?;
        Ok(Self { namespace: namespace.parse()?, id: id.parse()? })
    }
}

/// The unit of atomicity and of scale in the store: all keys of a run live in one. 0 to the store's number of partitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Partition(pub u16);

impl Partition {
    /// SHA-256 over the length-prefixed parts, its first eight bytes modulo the number: stable over releases.
    #[must_use]
    pub fn of(parts: &[&str], partitions: u16) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let word = digest[..8].iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
        Self(u16::try_from(word % u64::from(partitions.max(1))).unwrap_or_default())
    }
}

/// The number of a command in its run, from 0.
pub type CommandNo = u32;
/// The number of an attempt at an activity, from 1.
pub type Attempt = u32;
/// A worker's number for one of its requests, from 1, rising within a session. With the session it is a lease's nonce: every
/// lease that an answer grants carries the number of the request that it answers.
pub type Seq = u64;

/// The token that a run's next commit must name: random, replaced by every commit and control operation. 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Head(pub u64);

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({self})")
    }
}

impl utoipa::PartialSchema for Head {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        super::schema::text("The token that a run's next commit must name: 16 hexadecimal digits.")
    }
}

impl utoipa::ToSchema for Head {}

impl FromStr for Head {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rule = "16 hexadecimal digits";
        if text.len() != 16 {
            return Err(invalid("head", text, rule));
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| invalid("head", text, rule))
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        for good in ["a", "order-status", "0", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn run_ids_stay_clear_of_key_and_path_syntax() {
        for good in ["order-1", "Order:7", "a/b/c", "x@y.z", &"x".repeat(255)] {
            assert!(good.parse::<RunId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a#1", "a|b", "{a}", "a//b", "/a", "a/", "a/../b", "a?b", "a%2f", "\u{e9}", &"x".repeat(256)] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_family_lives_in_one_partition_and_the_hash_is_stable() {
        let key = |id: &str| RunKey { namespace: "default".parse().unwrap(), id: id.parse().unwrap() };
        assert_eq!(key("order-1").partition(16), key("order-1/child/grandchild").partition(16));
        // A golden value: if it changes, every run of every store is lost from sight.
        assert_eq!(key("order-1").partition(16), Partition(GOLDEN));
    }

    const GOLDEN: u16 = 10;

    #[test]
    fn heads_print_as_they_parse() {
        let head = Head(0x0123_4567_89ab_cdef);
        assert_eq!(head.to_string(), "0123456789abcdef");
        assert_eq!(head.to_string().parse::<Head>(), Ok(head));
        assert!("123".parse::<Head>().is_err());
    }
}
