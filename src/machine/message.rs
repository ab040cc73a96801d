//! What one run sends to another, as it lies in the outbox of the sender's partition.

use serde::{Deserialize, Serialize};

use crate::api::{Code, CommandNo, Partition, RunKey};

/// The version of the layout. A newer one stays where it is until a program comes that reads it.
pub const MESSAGE_FORMAT: u32 = 1;

/// A message. Its bytes are a MessagePack array of the fields in this order; `redis/lua/parts/outbox.lua` reads and writes the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// [`MESSAGE_FORMAT`].
    pub format: u32,
    /// The receiver.
    pub to: String,
    /// Its uid, for what only that life of it may get: the outcome of an own message. Empty: whoever has the id.
    pub to_uid: String,
    /// The event for its mailbox, JSON text.
    pub event: String,
    /// Whom the outcome is told to; empty for an outcome.
    pub from: String,
    /// Its uid.
    pub from_uid: String,
    /// Its partition.
    pub from_partition: u16,
    /// The number of its command.
    pub command: CommandNo,
}

impl Message {
    /// A signal of a run's command.
    #[must_use]
    pub fn signal(to: &RunKey, event: String, from: &str, from_uid: &str, from_partition: Partition, command: CommandNo) -> Self {
        Self {
            format: MESSAGE_FORMAT,
            to: to.to_string(),
            to_uid: String::new(),
            event,
            from: from.to_owned(),
            from_uid: from_uid.to_owned(),
            from_partition: from_partition.0,
            command,
        }
    }

    /// What the sender is told. `refused`: `RunNotFound`, `RunClosed` or `MailboxFull`, the `type` of the error that it gets.
    #[must_use]
    pub fn outcome(&self, refused: Option<Code>) -> Self {
        let command = self.command;
        let event = match refused {
            None => format!(r#"{{"SignalDelivered":{{"command":{command}}}}}"#),
            Some(why) => {
                let why = why.as_str();
                let id = self.to.split_once('/').map_or("", |(_, id)| id);
                format!(
                    r#"{{"SignalRefused":{{"command":{command},"error":{{"type":"{why}","message":"run {id} did not get the signal"}}}}}}"#
                )
            }
        };
        Self {
            format: MESSAGE_FORMAT,
            to: self.from.clone(),
            to_uid: self.from_uid.clone(),
            event,
            from: String::new(),
            from_uid: String::new(),
            from_partition: 0,
            command: 0,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("texts and numbers always pack")
    }

    /// From the bytes; `None` when they are none, or those of a newer program.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice::<Self>(bytes).ok().filter(|message| message.format <= MESSAGE_FORMAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::journal::Event;

    fn message() -> Message {
        let uid = "01890000-0000-7000-8000-000000000001";
        Message::signal(&"default/b".parse().unwrap(), "{}".into(), "default/a", uid, Partition(3), 7)
    }

    #[test]
    fn messages_survive_the_round_trip_and_newer_ones_are_left() {
        assert_eq!(Message::decode(&message().encode()), Some(message()));
        assert_eq!(Message::decode(&Message { format: MESSAGE_FORMAT + 1, ..message() }.encode()), None);
        assert_eq!(Message::decode(b"x"), None);
    }

    #[test]
    fn outcomes_are_events_of_the_senders_command() {
        let outcome = message().outcome(Some(Code::RunClosed));
        assert_eq!((outcome.to.as_str(), outcome.to_uid.as_str()), ("default/a", "01890000-0000-7000-8000-000000000001"));
        let Ok(Event::SignalRefused { command: 7, error }) = serde_json::from_str(&outcome.event) else { panic!("{}", outcome.event) };
        assert_eq!((error.kind.as_str(), error.message.as_str()), ("RunClosed", "run b did not get the signal"));
        let delivered: Event = serde_json::from_str(&message().outcome(None).event).unwrap();
        assert_eq!(delivered, Event::SignalDelivered { command: 7 });
    }
}
