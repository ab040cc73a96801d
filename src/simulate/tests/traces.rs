//! The format of traces.

use super::super::Trace;
use super::super::trace::{BUILTIN, Comes, Slot, Work, builtin};
use super::trace;
use crate::api::DurationMs;

fn secs(secs: u64) -> DurationMs {
    DurationMs::from_secs(secs)
}

#[test]
fn every_trace_that_is_part_of_the_program_is_read() {
    for (name, _) in BUILTIN {
        assert_eq!(builtin(name).expect("read").name, *name);
    }
    assert_eq!(builtin("another"), None);
}

#[test]
fn a_trace_is_read_as_it_is_written() {
    let read = trace(
        "# A comment.\n\nabout  a bit of all\nlength 1h # another\nslots 4\nmin 1\nmax 9\ntarget 2s\nroom 8\nstart 1s..2s\ngrace 30s\n\
         slow 0.5 3\nfail 0.1 90s\nflow rate=5..50 period=10m slot=exp:1s\nburst at=1m every=5m count=20 slot=pareto:200ms:1.5\nat 12.5s slot=300ms\n",
    );
    assert_eq!((read.about.as_str(), read.length, read.slots, read.min, read.max), ("a bit of all", secs(3_600), 4, 1, 9));
    assert_eq!((read.target, read.room, read.start, read.grace), (Some(secs(2)), Some(8), (secs(1), secs(2)), secs(30)));
    assert_eq!((read.slow, read.fail), (Some((0.5, 3.0)), Some((0.1, secs(90)))));
    let work = |comes, slot| Work { comes, slot };
    let flow = Comes::Flow { from: secs(0), to: secs(3_600), rate: (5.0, 50.0), period: secs(600) };
    let burst = Comes::Burst { at: secs(60), every: Some(secs(300)), count: 20, timers: false };
    let single = Comes::Burst { at: DurationMs(12_500), every: None, count: 1, timers: false };
    let expected = [
        work(flow, Slot::Exponential(secs(1))),
        work(burst, Slot::Pareto(DurationMs(200), 1.5)),
        work(single, Slot::Fixed(DurationMs(300))),
    ];
    assert_eq!(read.work, expected);
}

#[test]
fn a_bad_trace_is_told_with_its_line() {
    for (text, told) in [
        ("", "line 1: the trace says no `length`, such as `length 1h`"),
        ("length 1h\n", "line 1: nothing comes: say it with `flow`, `wave`, `burst`, `timers` or `at`"),
        (
            "length 1x",
            "line 1: `1x`: duration \"1x\" is not valid: write a number with a unit (ms, s, m, h, d), such as 250ms, 10s or 1h30m",
        ),
        ("length 9d", "line 1: 9d is more than 1d"),
        ("length 1h\nslots 0", "line 2: 0 is less than 1"),
        ("length 1h\nflow rate=5 slot", "line 2: `slot` is not `name=value`"),
        ("length 1h\nflow rate=5", "line 2: `slot=` is missing"),
        ("length 1h\nflow rate=5 rate=6 slot=1s", "line 2: `rate` is said twice"),
        ("length 1h\nflow rate=-5 slot=1s", "line 2: -5 is not a rate from 0 to 10000 per second"),
        ("length 1h\nflow rate=5 slot=1s colour=red", "line 2: `colour=` means nothing here"),
        ("length 1h\nflow from=2h rate=5 slot=1s", "line 2: it ends at 1h, and begins at 2h"),
        ("length 1h\nflow rate=5 slot=normal:1s", "line 2: `slot=normal:1s` is none of slot=1s, slot=exp:1s, slot=pareto:200ms:1.5"),
        ("length 1h\n\nburst at=1s every=0s count=1 slot=1s", "line 3: every 0 is never"),
        ("length 1h\nslow 2 3", "line 2: 2 is not a share from 0 to 1"),
        ("length 1h\nfail 0.5", "line 2: write a share and a duration, such as `fail 0.2 90s`"),
        ("length 1h\nmin 5\nmax 3\nat 1s slot=1s", "line 4: min 5 is above max 3: no number of pods is both"),
        (
            "length 1h\ntarget 0s\nat 1s slot=1s",
            "line 3: the target age is 0: no number of pods takes work on before it is there; the default is 5s",
        ),
        ("length 1h\nmax 5000", "line 2: 5000 is more than 1000"),
    ] {
        assert_eq!(Trace::read("bad", text).map_err(|error| error.to_string()), Err(told.to_owned()), "{text:?}");
    }
    let told = Trace::read("bad", "lenght 1h").expect_err("bad").to_string();
    assert!(told.starts_with("line 1: `lenght` is none of about, length,"), "{told}");
}

#[test]
fn arrivals_are_as_many_as_the_rate_says_and_the_same_for_the_same_seed() {
    let flow = trace("length 1h\nflow rate=10 slot=exp:1s");
    let items = flow.items(7);
    assert!((35_000..37_000).contains(&items.len()), "{}", items.len());
    let mean: u64 = items.iter().map(|item| item.slot.0).sum::<u64>() / items.len() as u64;
    assert!((980..1_020).contains(&mean), "{mean} ms");
    assert_eq!(items, flow.items(7));
    assert_ne!(items, flow.items(8));
    // Half of a wave's time is below the middle, so its mean is the middle.
    let wave = trace("length 2h\nwave period=1h rate=0..20 slot=1s").items(7).len();
    assert!((70_500..73_500).contains(&wave), "{wave}");
    assert!(trace("length 1h\nflow rate=0 slot=1s").items(7).is_empty());
}
