//! Random numbers of a run: equal in every replay, and not to be guessed without its uid.

use sha2::{Digest, Sha256};

use crate::api::Uid;

/// xoshiro256++ (D. Blackman, S. Vigna, 2019), seeded with the SHA-256 of the run's uid.
#[derive(Debug, Clone)]
pub struct Random([u64; 4]);

impl Random {
    pub fn of(uid: &Uid) -> Self {
        let digest = Sha256::digest(uid.as_str().as_bytes());
        let mut state = [0_u64; 4];
        for (word, bytes) in state.iter_mut().zip(digest.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        }
        Self(state)
    }

    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// In [0, 1), with 53 random bits.
    pub fn next_f64(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let numerator = (self.next_u64() >> 11) as f64;
        numerator / 9_007_199_254_740_992.0
    }

    /// A version 4 UUID.
    pub fn next_uuid(&mut self) -> String {
        let bits = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }
}
