//! Who gets a place, who waits, and who is refused.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::{Place, Places, Refused};
use sluicegate_config::InFlight;

const LIMIT: InFlight = InFlight {
    max: 2,
    queue: 3,
    timeout: Duration::from_secs(30),
};

type Entering = Pin<Box<dyn Future<Output = Result<Place, Refused>>>>;

/// Asks for a place, and waits in the queue if there is none.
fn ask(places: &Arc<Places>, tenant: &'static str, limit: InFlight) -> Entering {
    let places = places.clone();
    let mut entering: Entering = Box::pin(async move { places.enter(tenant, &limit).await });
    // The future of a wait is polled again later, so its first result must not be lost.
    match poll(&mut entering) {
        Poll::Pending => entering,
        Poll::Ready(result) => Box::pin(std::future::ready(result)),
    }
}

fn poll(entering: &mut Entering) -> Poll<Result<Place, Refused>> {
    entering
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Whether it has a place by now, which it keeps.
fn entered(entering: &mut Entering) -> Option<Place> {
    match poll(entering) {
        Poll::Ready(Ok(place)) => Some(place),
        Poll::Ready(Err(refused)) => panic!("{refused:?}"),
        Poll::Pending => None,
    }
}

async fn place(places: &Arc<Places>) -> Place {
    places.enter("first", &LIMIT).await.expect("a free place")
}

#[tokio::test(start_paused = true)]
async fn places_and_queue_are_bounded_and_whoever_finds_both_full_is_refused_at_once() {
    let places = Arc::new(Places::default());
    let taken = [place(&places).await, place(&places).await];
    assert!(!places.has_room(Some(&LIMIT)) && !places.is_full(Some(&LIMIT)));
    let mut waiting: Vec<_> = (0..3).map(|_| ask(&places, "a", LIMIT)).collect();
    assert_eq!((places.taken(), places.waiting()), (2, 3));
    assert!(places.is_full(Some(&LIMIT)));
    let began = Instant::now();
    let refused = places.enter("b", &LIMIT).await;
    assert_eq!(refused.err(), Some(Refused::Full));
    assert!(began.elapsed().is_zero());
    drop(taken);
    let later: Vec<_> = waiting.iter_mut().filter_map(entered).collect();
    assert_eq!((later.len(), places.waiting()), (2, 1), "in their order");
    assert!(entered(&mut waiting[2]).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_one_request_has_its_turn_among_anothers_hundred() {
    let limit = InFlight {
        max: 1,
        queue: 200,
        ..LIMIT
    };
    let places = Arc::new(Places::default());
    let mut now = places.enter("first", &limit).await.expect("free");
    let mut crowd: Vec<_> = (0..100).map(|_| ask(&places, "crowd", limit)).collect();
    let mut single = ask(&places, "single", limit);
    let mut before = 0;
    let _place = loop {
        drop(now);
        if let Some(place) = entered(&mut single) {
            break place;
        }
        now = entered(&mut crowd[before]).expect("the first of the crowd");
        before += 1;
    };
    assert_eq!(before, 1, "one of the crowd came first");
    assert_eq!(places.waiting(), 99);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_refused_and_leaves_no_trace() {
    let places = Arc::new(Places::default());
    let taken = [place(&places).await, place(&places).await];
    let began = Instant::now();
    let refused = places.enter("a", &LIMIT).await;
    assert_eq!(refused.err(), Some(Refused::TimedOut));
    assert_eq!(began.elapsed(), LIMIT.timeout);
    assert_eq!(places.waiting(), 0);
    drop(taken);
    assert_eq!(places.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_makes_room_and_gives_back_what_it_was_just_given() {
    let places = Arc::new(Places::default());
    let taken = [place(&places).await, place(&places).await];
    let waiting: Vec<_> = (0..3).map(|_| ask(&places, "a", LIMIT)).collect();
    assert!(places.is_full(Some(&LIMIT)));
    drop(waiting);
    assert_eq!((places.taken(), places.waiting()), (2, 0));
    let granted = ask(&places, "a", LIMIT);
    drop(taken);
    assert_eq!((places.taken(), places.waiting()), (1, 0), "it is granted");
    drop(granted);
    assert_eq!(places.taken(), 0, "and dropped before it has seen that");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_or_goes_lets_those_in_who_wait() {
    let places = Arc::new(Places::default());
    let _taken = [place(&places).await, place(&places).await];
    let mut waiting: Vec<_> = (0..3).map(|_| ask(&places, "a", LIMIT)).collect();
    let more = InFlight { max: 3, ..LIMIT };
    assert_eq!(
        places
            .enter("b", &InFlight { queue: 0, ..more })
            .await
            .err(),
        Some(Refused::Full)
    );
    let _third = entered(&mut waiting[0]).expect("the limit is 3 now");
    let _unlimited = places.try_enter(None).expect("no limit");
    assert!(entered(&mut waiting[1]).is_some() && entered(&mut waiting[2]).is_some());
}
