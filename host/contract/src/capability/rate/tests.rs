//! Limits by a clock that the tests move.

use super::*;

fn limit(name: &str, amount: u64, capacity: u64, per_ms: u64) -> Limit {
    Limit {
        name: name.into(),
        subject: "s".into(),
        amount,
        capacity,
        period: match per_ms {
            0 => Period::Held,
            ms => Period::Rolling(ms),
        },
    }
}

fn take(counts: &mut Counts, now: u64, limits: &[Limit]) -> Verdict {
    check(limits, false).expect("legal");
    counts.take(now, PAIRS, limits).expect("room for pairs")
}

#[test]
fn units_come_back_evenly() {
    let mut counts = Counts::default();
    let of = [limit("r", 1, 10, 1000)];
    for left in (0..10).rev() {
        let verdict = take(&mut counts, 0, &of);
        assert!(verdict.granted);
        assert_eq!(verdict.standings[0].remaining, left);
    }
    let refused = take(&mut counts, 0, &of);
    let standing = Standing {
        granted: false,
        remaining: 0,
        retry_ms: Some(100),
        reset_ms: Some(1000),
    };
    assert_eq!(
        (refused.granted, refused.standings),
        (false, vec![standing])
    );
    assert!(!take(&mut counts, 99, &of).granted);
    assert!(take(&mut counts, 100, &of).granted);
    assert!(!take(&mut counts, 100, &of).granted);
    let mut granted = 0;
    for now in 101..=10_100 {
        granted += u64::from(take(&mut counts, now, &of).granted);
    }
    assert_eq!(granted, 100, "the rate, whatever asks in between");
}

#[test]
fn all_limits_are_taken_or_none() {
    let mut counts = Counts::default();
    let of = [limit("a", 5, 10, 1000), limit("b", 5, 5, 1000)];
    assert!(take(&mut counts, 0, &of).granted);
    let refused = take(&mut counts, 0, &of);
    assert!(!refused.granted);
    let granted: Vec<_> = refused.standings.iter().map(|it| it.granted).collect();
    assert_eq!(granted, [true, false]);
    assert_eq!(refused.standings[0].remaining, 5, "nothing was taken");
    assert!(take(&mut counts, 0, &[limit("a", 5, 10, 1000)]).granted);
}

#[test]
fn held_units_come_back_only_when_they_are_settled() {
    let mut counts = Counts::default();
    let of = [limit("c", 1, 2, 0)];
    assert!(take(&mut counts, 0, &of).granted && take(&mut counts, 0, &of).granted);
    let refused = take(&mut counts, u64::MAX, &of);
    let standing = Standing {
        granted: false,
        remaining: 0,
        retry_ms: None,
        reset_ms: None,
    };
    assert_eq!(refused.standings, [standing]);
    counts.settle(0, &of[0], 0);
    assert!(take(&mut counts, 0, &of).granted);
    counts.settle(0, &of[0], 7);
    counts.settle(0, &of[0], 1);
    assert_eq!(counts.pairs(), 0);
}

#[test]
fn what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() {
    let mut counts = Counts::default();
    let look = [limit("t", 0, 100, 1000)];
    let of = [limit("t", 60, 100, 1000)];
    assert!(take(&mut counts, 0, &of).granted);
    counts.settle(0, &of[0], 10);
    assert_eq!(take(&mut counts, 0, &look).standings[0].remaining, 90);
    assert!(take(&mut counts, 0, &of).granted);
    counts.settle(0, &of[0], 250);
    let below = take(&mut counts, 0, &look);
    assert!(below.granted, "looking is always granted");
    assert_eq!(below.standings[0].remaining, -160);
    assert_eq!(below.standings[0].reset_ms, Some(2600));
    assert_eq!(take(&mut counts, 2600, &look).standings[0].remaining, 100);
}

#[test]
fn another_capacity_or_period_counts_on() {
    let mut counts = Counts::default();
    take(&mut counts, 0, &[limit("r", 50, 100, 1000)]);
    let wider = [limit("r", 0, 200, 2000)];
    assert_eq!(take(&mut counts, 0, &wider).standings[0].remaining, 150);
    let none = [limit("r", 1, 0, 1000)];
    let refused = take(&mut counts, 0, &none);
    assert_eq!(refused.standings[0].retry_ms, None);
    assert_eq!(refused.standings[0].reset_ms, None);
}

fn of_a_day(label: &str, left_ms: u64, amount: u64) -> Limit {
    let label = label.to_owned();
    Limit {
        period: Period::Calendar(Window { label, left_ms }),
        ..limit("b", amount, 100, 0)
    }
}

#[test]
fn a_budget_is_whole_again_when_its_day_is_over_and_not_before() {
    let mut counts = Counts::default();
    let first = of_a_day("1", 1000, 60);
    assert!(
        counts
            .reserve(0, PAIRS, std::slice::from_ref(&first))
            .expect("room")
            .granted
    );
    let refused = take(&mut counts, 400, &[of_a_day("1", 600, 50)]);
    let standing = Standing {
        granted: false,
        remaining: 40,
        retry_ms: Some(600),
        reset_ms: Some(600),
    };
    assert_eq!(refused.standings, [standing]);
    assert_eq!(
        take(&mut counts, 400, &[of_a_day("1", 600, 101)]).standings[0].retry_ms,
        None
    );
    counts.settle(500, &first, 90);
    assert_eq!(
        take(&mut counts, 999, &[of_a_day("1", 1, 0)]).standings[0].remaining,
        10
    );
    let late = of_a_day("1", 1, 10);
    assert!(
        counts
            .reserve(999, PAIRS, std::slice::from_ref(&late))
            .expect("room")
            .granted
    );
    let next = take(&mut counts, 1000, &[of_a_day("2", 1000, 100)]);
    assert!(next.granted);
    // It was reserved on the day before, and is not counted in the next one.
    counts.settle(1001, &late, 70);
    assert_eq!(
        take(&mut counts, 1001, &[of_a_day("2", 999, 0)]).standings[0].remaining,
        0
    );
    let budgets = counts.budgets(1001);
    assert_eq!(budgets.len(), 1, "{budgets:?}");
    assert_eq!(
        take(&mut counts, 5000, &[of_a_day("3", 1, 0)]).standings[0].remaining,
        100
    );
}

#[test]
fn a_budget_goes_on_after_a_restart_without_what_was_only_reserved() {
    let mut counts = Counts::default();
    assert!(counts.changed(0).is_empty());
    counts.tell_changes();
    let of = of_a_day("1", 1000, 30);
    assert!(take(&mut counts, 0, std::slice::from_ref(&of)).granted);
    assert!(
        counts
            .reserve(0, PAIRS, std::slice::from_ref(&of))
            .expect("room")
            .granted
    );
    let told = Budget {
        name: "b".into(),
        subject: "s".into(),
        window: "1".into(),
        left_ms: 900,
        spent: 30,
        reserved: 30,
        capacity: 100,
    };
    assert_eq!(counts.budgets(100), std::slice::from_ref(&told));
    assert_eq!(counts.changed(100), std::slice::from_ref(&told));
    assert!(counts.changed(100).is_empty());
    counts.tell_again(vec![told.clone()]);
    assert_eq!(counts.changed(100).len(), 1);
    counts.settle(200, &of, 45);
    assert_eq!(counts.changed(200)[0].spent, 75);

    let mut again = Counts::default();
    again.restore(7, told);
    assert_eq!(
        take(&mut again, 7, &[of_a_day("1", 900, 0)]).standings[0].remaining,
        70
    );
    assert!(!take(&mut again, 906, &[of_a_day("1", 1, 71)]).granted);
    assert!(again.budgets(907).is_empty());
}

#[test]
fn a_clock_that_is_set_back_does_not_end_the_counting() {
    let mut counts = Counts::default();
    assert!(take(&mut counts, 0, &[of_a_day("1", 10, 100)]).granted);
    // The day has been over once, and goes on.
    assert!(take(&mut counts, 20, &[of_a_day("1", 500, 100)]).granted);
    assert!(!take(&mut counts, 30, &[of_a_day("1", 490, 100)]).granted);
}

#[test]
fn pairs_are_bounded_and_free_again_when_their_units_are_back() {
    let mut counts = Counts::default();
    let mut ask = |now, subject: u64, amount| {
        let mut of = limit("r", amount, 1, 1000);
        of.subject = subject.to_string();
        counts.take(now, 3, &[of])
    };
    for subject in 0..3 {
        assert!(ask(0, subject, 1).expect("room").granted);
    }
    assert_eq!(ask(999, 3, 1), Err(Error::OverLimit));
    assert!(ask(999, 3, 0).expect("looking needs no room").granted);
    assert!(!ask(999, 0, 1).expect("it is in use").granted);
    for subject in 3..1_000 {
        assert!(ask(subject * 1000, subject, 1).expect("room").granted);
    }
    assert!(counts.pairs() <= 3);
}

#[test]
fn the_largest_legal_numbers_do_not_overflow() {
    let mut counts = Counts::default();
    let of = [limit("r", UNITS_MAX, UNITS_MAX, PERIOD_MAX)];
    assert!(take(&mut counts, 0, &of).granted);
    for _ in 0..100 {
        counts.settle(0, &of[0], UNITS_MAX);
    }
    let slow = [limit("r", 0, 1, PERIOD_MAX)];
    let standing = take(&mut counts, u64::MAX, &slow).standings[0];
    assert!(standing.granted);
}

#[test]
fn limits_that_are_not_legal_are_refused() {
    let good = limit("r", 1, 1, 1);
    let with = |change: fn(&mut Limit)| {
        let mut limit = good.clone();
        change(&mut limit);
        check(&[limit], false)
    };
    assert_eq!(with(|_| {}), Ok(()));
    for change in [
        (|it| it.name.clear()) as fn(&mut Limit),
        |it| it.name = "n".repeat(NAME_MAX + 1),
        |it| it.subject = "s".repeat(SUBJECT_MAX + 1),
        |it| it.amount = UNITS_MAX + 1,
        |it| it.capacity = UNITS_MAX + 1,
        |it| it.period = Period::Rolling(PERIOD_MAX + 1),
        |it| it.period = Period::Rolling(0),
    ] {
        assert_eq!(with(change), Err(Error::Invalid));
    }
    assert_eq!(check(&[], false), Err(Error::Invalid));
    assert_eq!(
        check(&[good.clone(), good.clone()], false),
        Err(Error::Invalid)
    );
    let many: Vec<_> = (0..=LIMITS_MAX)
        .map(|n| limit(&n.to_string(), 1, 1, 1))
        .collect();
    assert_eq!(check(&many, false), Err(Error::Invalid));
    assert_eq!(check(&many[1..], false), Ok(()));
    assert_eq!(check(&[limit("c", 1, 1, 0)], true), Err(Error::Invalid));
    assert_eq!(check_used(UNITS_MAX + 1), Err(Error::Invalid));
}
