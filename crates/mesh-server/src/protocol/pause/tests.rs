use super::*;

#[tokio::test(start_paused = true)]
async fn news_wait_for_a_moment_and_for_those_that_pass_on_what_was_told() {
    let watchers = Arc::new(Watchers::default());
    let begun = Instant::now();
    let due = begun + Duration::from_millis(100);
    hold(&watchers, "t", 7, due).await;
    assert_eq!(Instant::now(), due, "nobody else is there");

    let one = watchers.watch("t", 6);
    let elsewhere = watchers.watch("other", 0);
    let pass = async {
        sleep(Duration::from_millis(300)).await;
        one.pass(7);
    };
    let held = async {
        hold(&watchers, "t", 7, due).await;
        Instant::now() - begun
    };
    let ((), held) = tokio::join!(pass, held);
    assert!((400..420).contains(&held.as_millis()), "{held:?}");

    drop(elsewhere);
    let stuck = watchers.watch("t", 0);
    let due = Instant::now() + Duration::from_millis(100);
    hold(&watchers, "t", 7, due).await;
    let over = Instant::now() - due;
    assert!(over >= OTHERS_WAIT && over < OTHERS_WAIT + 2 * LOOK_EVERY, "{over:?}");
    drop((one, stuck));
    assert!(watchers.locked().is_empty());
}
