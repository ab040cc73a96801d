use super::sample;
use crate::cli::timeline::Timeline;

#[test]
fn a_timeline_reads_from_top_to_bottom() {
    let expected = "\
TURN  AT          WORKER            WHAT
0     +0ms        w1                ← started {\"zip\":\"10115\"}
                                    → #0 pay({\"zip\":\"10115\"})
1     +183ms      w1                ← #0 pay (attempt 2) = true
                                    → #1 cook(7)
2     +12.345s    w2                ← #1 cook (attempt 5) failed: HttpError: the answer was 503
                                    ← signal hurry [1]
                                    │ warn no cook
                                    → #2 sleep(30m)
3     +30m12.3s   w2                ← #2 sleep(30m) fired
                                    → completed \"done\"
";
    assert_eq!(Timeline::render(200, &sample::journal()), expected);
}

#[test]
fn long_payloads_are_cut_to_the_width_and_control_characters_do_not_reach_the_terminal() {
    let mut journal = sample::journal();
    journal.truncate(1);
    journal[0].logs.push(crate::api::journal::Log { level: "info".into(), text: "\u{1b}[2Jx".repeat(50) });
    let text = Timeline::render(80, &journal);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains('…'), "{text}");
}
