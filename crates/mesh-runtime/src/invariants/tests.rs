use super::*;

fn sound() -> ThreadFacts {
    let run = |id, status: RunStatus| RunFacts {
        id: Uuid::from_u128(id),
        status,
        epoch: 1,
        lease: (status == RunStatus::Running, status == RunStatus::Running),
        ended_at: status.is_final().then_some(Stamp(1)),
        letter: (true, status.is_final()),
    };
    let told =
        |id, ends| ToldFacts { run: Uuid::from_u128(id), epoch_max: 1, ends, is_ended: ends > 0 };
    ThreadFacts {
        thread: "t".to_owned(),
        status: ThreadStatus::Busy,
        next_seq: 9,
        entries: (8, Some((1, 8))),
        runs: vec![
            run(1, RunStatus::Success),
            run(2, RunStatus::Running),
            run(3, RunStatus::Pending),
        ],
        told: vec![told(1, 1), told(2, 0), told(9, 1)],
        checkpoints: Vec::new(),
    }
}

/// Which rules a thread breaks after something was done to it.
fn check_broken(rules: &[&str], breaking: impl FnOnce(&mut ThreadFacts)) {
    let mut facts = sound();
    breaking(&mut facts);
    let mut violations = Vec::new();
    check_thread(&facts, Stamp(2), &mut violations);
    let broken: Vec<&str> = violations.iter().map(|violation| violation.rule).collect();
    assert_eq!(broken, rules, "{violations:?}");
}

#[test]
fn what_is_sound_breaks_no_rule() {
    check_broken(&[], |_| {});
    check_broken(&[], |facts| facts.entries = (0, None));
    check_broken(&[], |facts| {
        facts.told.remove(0);
        facts.entries = (5, Some((4, 8)));
    });
}

#[test]
fn every_rule_is_held_against_the_rows() {
    check_broken(&["I1"], |facts| {
        facts.runs[2] = RunFacts { id: Uuid::from_u128(3), ..facts.runs[1].clone() }
    });
    check_broken(&["I2"], |facts| facts.entries.0 = 7);
    check_broken(&["I2"], |facts| facts.next_seq = 10);
    check_broken(&["I3, I4"], |facts| facts.checkpoints.push("a loop".to_owned()));
    check_broken(&["I5"], |facts| facts.told[0].ends = 0);
    check_broken(&["I5", "I5"], |facts| facts.told[0].ends = 2);
    check_broken(&["I5"], |facts| facts.told[0].is_ended = false);
    check_broken(&["I5"], |facts| {
        facts.told[1] = ToldFacts { run: Uuid::from_u128(2), ..facts.told[0].clone() }
    });
    check_broken(&["I5"], |facts| facts.told[2].is_ended = false);
    check_broken(&["I6"], |facts| facts.runs[0].lease.1 = true);
    check_broken(&["I6"], |facts| facts.runs[1].lease.0 = false);
    check_broken(&["I6"], |facts| facts.runs[2].ended_at = Some(Stamp(1)));
    check_broken(&["I7"], |facts| facts.status = ThreadStatus::Idle);
    check_broken(&["I7"], |facts| facts.runs.truncate(1));
    check_broken(&["I8"], |facts| facts.told[1].epoch_max = 2);
    check_broken(&["I10"], |facts| facts.runs[0].letter = (true, false));
    check_broken(&["I10"], |facts| facts.runs[0].letter = (false, true));
    check_broken(&["I10"], |facts| facts.runs[1].letter = (true, true));
}

#[test]
fn a_letter_may_be_forgotten_when_its_time_is_over() {
    let mut facts = sound();
    facts.runs[0].letter = (true, false);
    let kept_ms = i64::try_from(LETTERS_KEPT.as_millis()).unwrap();
    for (now, expected) in [(Stamp(0).plus_ms(kept_ms), 1), (Stamp(1).plus_ms(kept_ms), 0)] {
        let mut violations = Vec::new();
        check_thread(&facts, now, &mut violations);
        assert_eq!(violations.len(), expected, "{violations:?}");
    }
}
