//! The bytes of a record. Little-endian, without padding, so that the `struct` library of Redis' scripts reads and writes them in
//! one call: numbers of a fixed size first, then texts of a fixed length, then texts after their length.
//!
//! Format 1 has no origin. Format 2 has it behind the text of a block. Format 3 is as 2 in fewer bytes: uid, version and the input's hash
//! are bytes instead of hexadecimal digits, and numbers that stay small take less than they would in memory.
//!
//! `RUN_LAYOUT` and `ATTEMPT_LAYOUT` of `store/redis/lua/parts/record.lua` say the same. The first byte is the format; a change
//! of the layout is a new one, and a reader keeps the old ones.

use super::activity::AttemptPhase;
use super::record::{AttemptRecord, RECORD_FORMAT, RecordError, RunRecord};
use super::run::Phase;
use super::shorthand::raw;
use crate::api::TimeMs;
use crate::api::ids::hex;

/// The first format that has an origin.
const ORIGIN_SINCE: u8 = 2;
/// The first format with bytes instead of digits, and with small numbers.
const SMALL_SINCE: u8 = 3;
/// Texts whose length is fixed: a head, a uid, a version.
const HEAD_BYTES: usize = 16;
const UID_BYTES: usize = 36;
const VERSION_BYTES: usize = 64;

/// Bytes of numbers that stay small: epoch and bytes of the journal, the times of run and turn, timers and attempts beside the record.
fn widths(format: u8) -> (usize, usize, usize) {
    if format >= SMALL_SINCE { (4, 6, 3) } else { (8, 8, 4) }
}

/// Where the end of a run stands in a record of this format.
fn closed_at(format: u8) -> usize {
    let (small, time, _) = widths(format);
    5 + 4 + small + 8 + small + 2 * time
}
/// Bytes of each of the two times of a run in the newest format.
const START_TIME_BYTES: usize = 6;
/// Where the two times of an attempt stand in its bytes.
const ATTEMPT_TIMES: usize = 1 + 4 * 4 + 8;

/// Times in a record that only the store's clock can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// When the run was accepted, and when its last turn was: the same at first. Of a record of the newest format.
    OfStart,
    /// When the run ended.
    OfEnd,
    /// When its last attempt was scheduled, and when it began.
    OfLastAttempt,
}

impl Times {
    /// The bytes of a record before and after them.
    #[must_use]
    pub fn around<'a>(self, record: &'a RunRecord, bytes: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (at, length) = match self {
            Self::OfStart => (closed_at(record.format) - 2 * START_TIME_BYTES, 2 * START_TIME_BYTES),
            Self::OfEnd => (closed_at(record.format), 8),
            Self::OfLastAttempt => (bytes.len() - record.attempts.last().map_or(0, AttemptRecord::bytes) + ATTEMPT_TIMES, 16),
        };
        (&bytes[..at], &bytes[at + length..])
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, n: u32) {
        self.0.push(u8::try_from(n).unwrap_or(u8::MAX));
    }

    fn short(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    fn long(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    /// A number in so many bytes; the largest of them when it is larger.
    fn number(&mut self, n: u64, bytes: usize) {
        let n = n.min(u64::MAX >> (64 - 8 * bytes));
        self.0.extend_from_slice(&n.to_le_bytes()[..bytes]);
    }

    fn fixed(&mut self, text: &str, bytes: usize) {
        debug_assert_eq!(text.len(), bytes, "{text}");
        self.0.extend_from_slice(text.as_bytes());
        self.0.resize(self.0.len() + bytes.saturating_sub(text.len()), b' ');
    }

    /// Hexadecimal digits as the bytes that they stand for; dashes are left out.
    fn digits(&mut self, digits: &str, bytes: usize) {
        let end = self.0.len() + bytes;
        self.0.extend(raw(digits));
        debug_assert_eq!(self.0.len(), end, "{digits}");
        self.0.resize(end, 0);
    }

    /// A text after its length in one byte.
    fn text(&mut self, text: &str) {
        debug_assert!(text.len() < 256, "{text}");
        self.byte(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(text.as_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn short(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let mut n = [0; 8];
        n[..bytes].copy_from_slice(self.take(bytes)?);
        Some(u64::from_le_bytes(n))
    }

    fn time(&mut self) -> Option<TimeMs> {
        self.long().map(TimeMs)
    }

    fn fixed(&mut self, bytes: usize) -> Option<String> {
        String::from_utf8(self.take(bytes)?.to_vec()).ok()
    }

    fn uid(&mut self) -> Option<String> {
        uuid::Uuid::from_slice(self.take(UID_BYTES / 2 - 2)?).ok().map(|uid| uid.to_string())
    }

    /// Bytes after their number, as hexadecimal digits.
    fn digits(&mut self) -> Option<String> {
        let length = self.byte()?;
        self.take(length.into()).map(hex)
    }

    fn version(&mut self) -> Option<String> {
        self.take(VERSION_BYTES / 2).map(hex)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.byte()?;
        self.fixed(usize::from(length))
    }
}

/// Bytes of a run without its texts, for the size of the buffer.
const RUN_BYTES: usize = 320;

impl RunRecord {
    /// The bytes of the store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(RUN_BYTES + self.blocked.len() + 128 * self.attempts.len()));
        out.byte(self.format.into());
        out.byte(self.phase.number().into());
        out.byte(self.mail_cancel.into());
        out.byte(self.deaths);
        out.byte(self.closed.into());
        out.short(u32::try_from(self.attempts.len()).unwrap_or(u32::MAX));
        let (small, time, count) = widths(self.format);
        out.number(self.epoch, small);
        out.long(self.seq);
        out.number(self.journal_bytes, small);
        out.number(self.at.0, time);
        out.number(self.started_at.0, time);
        out.long(self.closed_at.0);
        out.long(self.retention_ms);
        out.short(self.turns);
        out.short(self.mail);
        out.short(self.next_command);
        out.number(self.timers.into(), count);
        out.number(self.attempts_beside.into(), count);
        out.fixed(&self.head, HEAD_BYTES);
        if self.format >= SMALL_SINCE {
            out.digits(&self.uid, UID_BYTES / 2 - 2);
            out.digits(&self.version, VERSION_BYTES / 2);
        } else {
            out.fixed(&self.uid, UID_BYTES);
            out.fixed(&self.version, VERSION_BYTES);
        }
        for text in [&self.session, &self.holder, &self.workflow, &self.pool] {
            out.text(text);
        }
        if self.format >= SMALL_SINCE {
            let bytes = self.input_hash.len() / 2;
            out.byte(u32::try_from(bytes).unwrap_or(u32::MAX));
            out.digits(&self.input_hash, bytes);
        } else {
            out.text(&self.input_hash);
        }
        out.short(u32::try_from(self.blocked.len()).unwrap_or(u32::MAX));
        out.0.extend_from_slice(self.blocked.as_bytes());
        if self.format >= ORIGIN_SINCE {
            out.text(&self.origin);
        }
        for attempt in &self.attempts {
            attempt.write(&mut out);
        }
        out.0
    }

    /// Reads the bytes of the store.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes.first() {
            Some(found) if *found > RECORD_FORMAT => Err(RecordError::Newer { found: *found }),
            _ => Self::read(&mut Reader(bytes)).ok_or_else(|| RecordError::Damaged(format!("{} bytes that are no run", bytes.len()))),
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let format = from.byte()?;
        let phase = Phase::ALL.get(usize::from(from.byte()?)).copied()?;
        let (mail_cancel, deaths, closed, inline) = (from.byte()?, from.byte()?.into(), from.byte()?, from.short()?);
        let (small, time, count) = widths(format);
        let (epoch, seq, journal_bytes) = (from.number(small)?, from.long()?, from.number(small)?);
        let (at, started_at) = (TimeMs(from.number(time)?), TimeMs(from.number(time)?));
        let (closed_at, retention_ms) = (from.time()?, from.long()?);
        let (turns, mail, next_command) = (from.short()?, from.short()?, from.short()?);
        let (timers, attempts_beside) = (from.number(count)?, from.number(count)?);
        let (timers, attempts_beside) = (u32::try_from(timers).ok()?, u32::try_from(attempts_beside).ok()?);
        let head = from.fixed(HEAD_BYTES)?;
        let (uid, version) =
            if format >= SMALL_SINCE { (from.uid()?, from.version()?) } else { (from.fixed(UID_BYTES)?, from.fixed(VERSION_BYTES)?) };
        let (session, holder, workflow) = (from.text()?, from.text()?, from.text()?);
        let pool = from.text()?;
        let input_hash = if format >= SMALL_SINCE { from.digits()? } else { from.text()? };
        let length = usize::try_from(from.short()?).ok()?;
        let blocked = from.fixed(length)?;
        let origin = if format >= ORIGIN_SINCE { from.text()? } else { String::new() };
        let attempts = (0..inline).map(|_| AttemptRecord::read(from)).collect::<Option<_>>()?;
        Some(Self {
            format,
            uid,
            workflow,
            version,
            pool,
            phase,
            head,
            epoch,
            session,
            seq,
            holder,
            turns,
            journal_bytes,
            at,
            started_at,
            mail,
            mail_cancel,
            next_command,
            timers,
            deaths,
            input_hash,
            blocked,
            closed,
            closed_at,
            retention_ms,
            origin,
            attempts,
            attempts_beside,
        })
    }
}

impl AttemptRecord {
    /// Reads the bytes of one that stands beside its run, or travels alone.
    ///
    /// # Errors
    /// [`RecordError::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Reader(bytes)).ok_or_else(|| RecordError::Damaged(format!("{} bytes that are no attempt", bytes.len())))
    }

    /// How many bytes it has.
    fn bytes(&self) -> usize {
        ATTEMPT_TIMES + 6 * 8 + (1 + self.session.len()) + (1 + self.queue.len()) + (2 + self.last_error.len())
    }

    fn write(&self, out: &mut Writer) {
        out.byte(self.phase.number().into());
        out.short(self.command);
        out.short(self.attempt);
        out.short(self.turn);
        out.short(self.losses);
        out.long(self.seq);
        out.long(self.scheduled_at.0);
        out.long(self.started_at.0);
        out.long(self.timeout_ms);
        out.long(self.heartbeat_ms);
        out.long(self.start_by.0);
        out.long(self.close_by.0);
        out.text(&self.session);
        out.text(&self.queue);
        let length = u16::try_from(self.last_error.len()).unwrap_or(u16::MAX);
        out.0.extend_from_slice(&length.to_le_bytes());
        out.0.extend_from_slice(&self.last_error.as_bytes()[..usize::from(length)]);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let phase = AttemptPhase::ALL.get(usize::from(from.byte()?)).copied()?;
        let (command, attempt, turn, losses, seq) = (from.short()?, from.short()?, from.short()?, from.short()?, from.long()?);
        let (scheduled_at, started_at, timeout_ms, heartbeat_ms) = (from.time()?, from.time()?, from.long()?, from.long()?);
        let (start_by, close_by, session, queue) = (from.time()?, from.time()?, from.text()?, from.text()?);
        let length = u16::from_le_bytes(from.take(2)?.try_into().ok()?);
        let last_error = from.fixed(usize::from(length))?;
        Some(Self {
            command,
            phase,
            attempt,
            turn,
            losses,
            session,
            seq,
            scheduled_at,
            started_at,
            queue,
            timeout_ms,
            heartbeat_ms,
            start_by,
            close_by,
            last_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::record::samples::{attempt, run};

    #[test]
    fn times_can_be_put_into_the_bytes_afterwards() {
        let of_format = |format| RunRecord { format, attempts: vec![attempt(3), attempt(4)], closed_at: TimeMs(77), ..run() };
        for record in [1, 2, 3].map(of_format) {
            let bytes = record.encode();
            let (until, from) = Times::OfEnd.around(&record, &bytes);
            assert_eq!([until, &77_u64.to_le_bytes(), from].concat(), bytes);
        }
        let (record, bytes) = (of_format(3), of_format(3).encode());
        let (until, from) = Times::OfStart.around(&record, &bytes);
        assert_eq!([until, &record.at.0.to_le_bytes()[..6], &record.started_at.0.to_le_bytes()[..6], from].concat(), bytes);
        let (until, from) = Times::OfLastAttempt.around(&record, &bytes);
        let last = attempt(4);
        assert_eq!([until, &last.scheduled_at.0.to_le_bytes(), &last.started_at.0.to_le_bytes(), from].concat(), bytes);
    }

    #[test]
    fn records_survive_the_round_trip_and_newer_ones_are_refused() {
        let record = RunRecord {
            format: RECORD_FORMAT,
            origin: "o".into(),
            attempts: vec![attempt(3), attempt(4)],
            blocked: "{\"reason\":\"Paused\"}".into(),
            ..run()
        };
        assert_eq!(RunRecord::decode(&record.encode()), Ok(record.clone()));
        let newer = RunRecord { format: RECORD_FORMAT + 1, ..record.clone() };
        assert_eq!(RunRecord::decode(&newer.encode()), Err(RecordError::Newer { found: RECORD_FORMAT + 1 }));
        let bytes = record.encode();
        for cut in 0..bytes.len() {
            assert!(matches!(RunRecord::decode(&bytes[..cut]), Err(RecordError::Damaged(_))), "{cut}");
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        hex.trim().as_bytes().chunks(2).map(byte).collect()
    }

    /// The first record of each format that was ever written: it must be read for ever.
    #[test]
    fn a_record_of_each_format_is_read() {
        let plain = RunRecord { format: 1, attempts: vec![attempt(3)], ..run() };
        let followed = RunRecord { format: 2, origin: "kubernetes/01234567".into(), ..plain.clone() };
        let version = "1bcf6442a648bc2b3c9da4c99e40c44a6738c52b0287f23f120651cf26972cb4".into();
        let in_bytes = RunRecord { format: 3, version, ..followed.clone() };
        let golden = [include_str!("record.v1.hex"), include_str!("record.v2.hex"), include_str!("record.v3.hex")];
        for (golden, record) in golden.into_iter().zip([plain, followed, in_bytes]) {
            assert_eq!(RunRecord::decode(&bytes(golden)), Ok(record.clone()));
            assert_eq!(record.encode(), bytes(golden), "a run keeps the format that it began with");
        }
    }
}
