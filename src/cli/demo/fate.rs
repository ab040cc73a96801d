//! What befalls an order: decided by the seed and the order's number alone, so that the shop and the proof agree without
//! talking to each other.

use std::time::Duration;

/// What the payment service does with an order. Half of the orders fail or are declined there, for good or a few times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payment {
    /// Charges and says so.
    Smooth,
    /// Answers that the card was declined: an answer, and no failure.
    Declined,
    /// Answers 402: a failure that no repeat changes.
    Rejected,
    /// Answers 503 so many times before it charges.
    Busy(u32),
    /// Charges, and the answer is lost on the way, once: a repeat must not charge again.
    AnswerLost,
    /// Charges, and takes its time for the first answer: no trouble, only slow.
    Slow,
}

/// How an order must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `{"status": "Success!"}`.
    Delivered,
    /// `{"status": "payment failed"}`.
    PaymentFailed,
    /// The run fails with the payment's error.
    Failed,
}

/// An order, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Of the whole demo.
    pub seed: u64,
    /// From 1.
    pub number: u32,
}

/// What an order's id begins with.
const PREFIX: &str = "order-";

impl Order {
    /// Its id, which is also the id of its run.
    pub fn id(self) -> String {
        format!("{PREFIX}{:04}", self.number)
    }

    /// The order of an id.
    pub fn of(seed: u64, id: &str) -> Option<Self> {
        Some(Self { seed, number: id.strip_prefix(PREFIX)?.parse().ok()? })
    }

    /// See [`Payment`]: every second order has trouble; of the others one in ten is slow.
    pub fn payment(self) -> Payment {
        if self.number.is_multiple_of(2) {
            return if self.dice("slow", 10) == 0 { Payment::Slow } else { Payment::Smooth };
        }
        match self.dice("payment", 5) {
            0 | 1 => Payment::Declined,
            2 => Payment::Rejected,
            // The workflow gives up after five attempts.
            3 => Payment::Busy(1 + u32::try_from(self.dice("busy", 3)).unwrap_or_default()),
            _ => Payment::AnswerLost,
        }
    }

    /// See [`Ending`].
    pub fn ending(self) -> Ending {
        match self.payment() {
            Payment::Declined => Ending::PaymentFailed,
            Payment::Rejected => Ending::Failed,
            Payment::Smooth | Payment::Busy(_) | Payment::AnswerLost | Payment::Slow => Ending::Delivered,
        }
    }

    /// How often money must have moved.
    pub fn charges(self) -> u32 {
        u32::from(self.ending() == Ending::Delivered)
    }

    /// Whether another of the shop's services fails once for it: one time in ten.
    pub fn stumbles(self, service: &str) -> bool {
        self.dice(service, 10) == 0
    }

    /// How long the food takes: the workflow's sleep. Two to six seconds.
    pub fn prepare_for(self) -> Duration {
        Duration::from_millis(2_000 + self.dice("prepare", 4_000))
    }

    /// In cents.
    pub fn amount(self) -> u64 {
        900 + self.dice("amount", 4_000)
    }

    /// Where to, as the drivers' service wants it.
    pub fn zip(self) -> String {
        format!("{}", 10_115 + self.dice("zip", 3_000))
    }

    /// 0 to `sides - 1`, by seed, number and purpose (FNV-1a with a last stir: G. Fowler, L. C. Noll, K.-P. Vo; and `SplitMix64`).
    fn dice(self, purpose: &str, sides: u64) -> u64 {
        let bytes = self.seed.to_le_bytes().into_iter().chain(self.number.to_le_bytes()).chain(purpose.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_orders_have_trouble_and_every_kind_of_it_occurs() {
        let payments: Vec<_> = (1..=500).map(|number| Order { seed: 1, number }.payment()).collect();
        assert_eq!(payments.iter().filter(|p| !matches!(p, Payment::Smooth | Payment::Slow)).count(), 250);
        for kind in [Payment::Declined, Payment::Rejected, Payment::Busy(1), Payment::Busy(3), Payment::AnswerLost, Payment::Slow] {
            assert!(payments.contains(&kind), "{kind:?}");
        }
    }

    #[test]
    fn an_order_is_known_by_its_id() {
        let order = Order { seed: 7, number: 42 };
        assert_eq!(order.id(), "order-0042");
        assert_eq!(Order::of(7, &order.id()), Some(order));
        assert_eq!(Order::of(7, "x-1"), None);
    }
}
