//! The rule, without a server: time is paused, and each test says what happens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::model::Model;
use super::{Call, REMEMBERED, Stalls, Ticket, Verdict};

const SECOND: Duration = Duration::from_secs(1);
const STALL: Duration = Duration::from_secs(30);

async fn begin(stalls: &Arc<Stalls>) -> (Call, Ticket) {
    stalls.begin("m", "m", STALL).await
}

/// An attempt that has had its first byte.
async fn streaming(stalls: &Arc<Stalls>) -> Call {
    let (mut call, _) = begin(stalls).await;
    call.received();
    call
}

/// A model that has answered, and on which somebody has hung up now.
async fn hung_up() -> Arc<Stalls> {
    let stalls = Arc::<Stalls>::default();
    drop(streaming(&stalls).await);
    stalls
}

fn model(stalls: &Stalls) -> Arc<Model> {
    stalls.lock_models()["m"].clone()
}

#[tokio::test(start_paused = true)]
async fn silence_without_a_hang_up_is_a_long_prompt() {
    let stalls = Arc::<Stalls>::default();
    let mut ended = streaming(&stalls).await;
    ended.over();
    drop(ended);
    let _waiting = begin(&stalls).await;
    advance(100 * STALL).await;
    assert_eq!(stalls.due(STALL), None);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_has_not_answered_yet_is_being_loaded() {
    let stalls = Arc::<Stalls>::default();
    let (left, _) = begin(&stalls).await;
    drop(left);
    let _waiting = begin(&stalls).await;
    assert_eq!(stalls.due(STALL), None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_behind_a_hang_up_is_due_after_its_whole_time() {
    let stalls = hung_up().await;
    assert_eq!(stalls.due(STALL), None, "nobody waits");
    advance(10 * STALL).await;
    let _waiting = begin(&stalls).await;
    let due = Instant::now() + STALL;
    advance(SECOND).await;
    let _another = begin(&stalls).await;
    assert_eq!(stalls.due(STALL), Some(due));
    assert!(stalls.stalled(STALL).is_empty());
    advance(STALL).await;
    assert_eq!(stalls.stalled(STALL).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn time_before_the_hang_up_does_not_count() {
    let stalls = Arc::<Stalls>::default();
    let call = streaming(&stalls).await;
    let _waiting = begin(&stalls).await;
    advance(10 * STALL).await;
    drop(call);
    assert_eq!(stalls.due(STALL), Some(Instant::now() + STALL));
}

#[tokio::test(start_paused = true)]
async fn anything_that_comes_lifts_the_suspicion() {
    let stalls = Arc::<Stalls>::default();
    let mut other = streaming(&stalls).await;
    drop(streaming(&stalls).await);
    let _waiting = begin(&stalls).await;
    assert!(stalls.due(STALL).is_some());
    other.received();
    assert_eq!(stalls.due(STALL), None);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_takes_nothing_with_it() {
    let stalls = Arc::<Stalls>::default();
    let _at_work = streaming(&stalls).await;
    let (queued, _) = begin(&stalls).await;
    drop(queued);
    let _waiting = begin(&stalls).await;
    assert_eq!(stalls.due(STALL), None);
    // With nobody in mid-stream it may have been at work itself.
    let stalls = Arc::<Stalls>::default();
    let mut ended = streaming(&stalls).await;
    ended.over();
    drop(ended);
    drop(begin(&stalls).await);
    let _waiting = begin(&stalls).await;
    assert!(stalls.due(STALL).is_some());
}

#[tokio::test(start_paused = true)]
async fn models_have_nothing_to_do_with_each_other() {
    let stalls = hung_up().await;
    let _waiting = stalls.begin("other", "other", STALL).await;
    assert_eq!(stalls.due(STALL), None);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_taken_back_once_for_one_hang_up_and_begin_again_when_it_is_over() {
    let stalls = hung_up().await;
    let (mut call, mut ticket) = begin(&stalls).await;
    advance(STALL).await;
    let model = model(&stalls);
    let stepped_back = model.step_back(STALL).expect("it is due");
    assert!(model.step_back(STALL).is_none(), "once");
    // One that cannot begin again stays where it is.
    let stays = tokio::time::timeout(SECOND, ticket.verdict(false, true)).await;
    assert!(stays.is_err());
    assert_eq!(ticket.verdict(true, false).await, Verdict::TakenBack);
    let emptied = tokio::time::timeout(SECOND, model.emptied()).await;
    assert!(emptied.is_err(), "it has not let go yet");
    call.over();
    drop(call);
    model.emptied().await;
    let mut again = Box::pin(begin(&stalls));
    let early = tokio::time::timeout(SECOND, &mut again).await;
    assert!(early.is_err(), "the model is being unloaded");
    stepped_back.go_on(true);
    let _waiting = again.await;
    advance(100 * STALL).await;
    assert_eq!(stalls.due(STALL), None, "it is being loaded now");
    assert_eq!(stalls.reason(), None);
}

#[tokio::test(start_paused = true)]
async fn where_it_did_not_help_each_attempt_waits_for_its_time_and_no_longer() {
    let stalls = hung_up().await;
    let _waiting = begin(&stalls).await;
    advance(STALL).await;
    let model = model(&stalls);
    stalls.mark("it does nothing".into());
    model.step_back(STALL).expect("it is due").go_on(false);
    let (call, mut ticket) = begin(&stalls).await;
    let began = Instant::now();
    let verdict = ticket.verdict(true, false).await;
    assert_eq!(verdict, Verdict::Stalled { is_certain: true });
    assert_eq!(began.elapsed(), STALL);
    // Who leaves now has nothing to take along.
    drop(call);
    let _waiting = begin(&stalls).await;
    assert_eq!(stalls.due(STALL), None);
    assert_eq!(stalls.reason().as_deref(), Some("it does nothing"));
    drop(streaming(&stalls).await);
    assert_eq!(stalls.reason(), None, "something came");
}

#[tokio::test(start_paused = true)]
async fn a_mere_suspicion_moves_an_attempt_only_where_another_target_is_left() {
    let stalls = hung_up().await;
    let (_call, mut ticket) = begin(&stalls).await;
    model(&stalls).give_up(false);
    let stays = tokio::time::timeout(10 * STALL, ticket.verdict(true, false)).await;
    assert!(stays.is_err());
    let verdict = ticket.verdict(true, true).await;
    assert_eq!(verdict, Verdict::Stalled { is_certain: false });
}

#[tokio::test(start_paused = true)]
async fn a_marked_target_is_asked_again_after_a_while() {
    let stalls = Arc::<Stalls>::default();
    assert!(!stalls.is_passed_over());
    stalls.mark("why".into());
    assert!(stalls.is_passed_over());
    advance(super::PASSED_OVER).await;
    assert!(!stalls.is_passed_over());
    assert!(stalls.reason().is_some(), "nothing has come all the same");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_listed_any_more_has_nothing_to_hold() {
    let keys = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    for (lists, is_suspected) in [
        (&[&["m"][..], &["other"]][..], false),
        (&[&[]], false),
        (&[&["m"], &["m", "other"]], true),
        // Perhaps by another name of it.
        (&[&["other"]], true),
    ] {
        let stalls = hung_up().await;
        for list in lists {
            stalls.listed(&keys(list));
        }
        let _waiting = begin(&stalls).await;
        assert_eq!(stalls.due(STALL).is_some(), is_suspected, "{lists:?}");
    }
    let stalls = hung_up().await;
    stalls.forget();
    let _waiting = begin(&stalls).await;
    assert_eq!(stalls.due(STALL), None, "it was restarted");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let stalls = Arc::<Stalls>::default();
    let begin_other = async |index: usize| {
        let name = index.to_string();
        stalls.begin(&name, &name, STALL).await
    };
    for index in 0..2 * REMEMBERED {
        let (mut never_answered, _) = begin_other(index).await;
        never_answered.over();
    }
    assert_eq!(
        stalls.lock_models().len(),
        0,
        "there is nothing to remember"
    );
    for index in 0..2 * REMEMBERED {
        let (mut call, _) = begin_other(index).await;
        call.received();
    }
    let models = stalls.lock_models();
    assert_eq!(models.len(), REMEMBERED);
    let last = (2 * REMEMBERED - 1).to_string();
    assert!(models.contains_key(&last));
}
