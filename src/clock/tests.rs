use std::cell::Cell;

use proptest::prelude::*;

use super::*;

const START: i64 = 1_800_000_000_000;

/// A clock over two clocks that a test sets: the wall clock, and time that has really passed.
struct Bench {
    clock: Clock,
    wall: Cell<i64>,
    passed: Cell<u64>,
    origin: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { clock: Clock::new(), wall: Cell::new(START), passed: Cell::new(0), origin: Instant::now() }
    }

    fn read(&self) -> Reading {
        self.clock.read(|| self.wall.get(), || self.origin + Duration::from_millis(self.passed.get()))
    }

    /// Time passes on both clocks.
    fn pass(&self, millis: u32) {
        self.wall.set(self.wall.get() + i64::from(millis));
        self.passed.set(self.passed.get() + u64::from(millis));
    }

    /// Somebody sets the wall clock.
    fn set_by(&self, millis: i64) {
        self.wall.set(self.wall.get() + millis);
    }

    /// The time that is told, after the start.
    fn told(&self) -> i64 {
        self.read().millis - START
    }
}

#[test]
fn the_wall_clock_is_followed() {
    let bench = Bench::new();
    for (passes, told) in [(0, 0), (1, 1), (60_000, 60_001)] {
        bench.pass(passes);
        assert_eq!(bench.read(), Reading { millis: START + told, behind: Duration::ZERO, news: None });
    }
}

#[test]
fn a_jump_forward_is_followed() {
    let bench = Bench::new();
    bench.read();
    bench.set_by(3_600_000);
    assert_eq!(bench.told(), 3_600_000);
}

#[test]
fn a_second_back_is_followed_and_no_more_even_in_steps() {
    let bench = Bench::new();
    bench.read();
    bench.set_by(-1000);
    assert_eq!(bench.read(), Reading { millis: START - 1000, behind: Duration::ZERO, news: None });
    bench.set_by(-1);
    assert_eq!(bench.read(), Reading { millis: START, behind: Duration::from_millis(1001), news: Some(News::FellBehind) });
}

#[test]
fn after_a_jump_back_time_goes_on_until_the_wall_clock_has_caught_up() {
    let bench = Bench::new();
    bench.read();
    bench.set_by(-3_600_000);
    assert_eq!(bench.read(), Reading { millis: START, behind: Duration::from_secs(3600), news: Some(News::FellBehind) });
    bench.pass(5000);
    assert_eq!(bench.read(), Reading { millis: START + 5000, behind: Duration::from_secs(3600), news: None });
    // Half of it is set right.
    bench.set_by(1_800_000);
    bench.pass(1000);
    assert_eq!(bench.read(), Reading { millis: START + 6000, behind: Duration::from_secs(1800), news: None });
    // And it jumps back once more.
    bench.set_by(-7_200_000);
    assert_eq!((bench.told(), bench.read().news), (6000, None), "it is told once");
    bench.set_by(9_000_000 - 1000);
    assert_eq!(bench.read(), Reading { millis: START + 5000, behind: Duration::ZERO, news: Some(News::CaughtUp) });
    bench.pass(2000);
    assert_eq!(bench.read(), Reading { millis: START + 7000, behind: Duration::ZERO, news: None });
    // The next time begins anew.
    bench.set_by(-2000);
    assert_eq!(bench.read(), Reading { millis: START + 7000, behind: Duration::from_secs(2), news: Some(News::FellBehind) });
}

#[test]
fn a_wall_clock_that_is_set_right_while_nobody_looks_is_followed() {
    let bench = Bench::new();
    bench.read();
    bench.set_by(-3_600_000);
    bench.read();
    bench.set_by(3_600_000);
    bench.pass(60_000);
    assert_eq!(bench.read(), Reading { millis: START + 60_000, behind: Duration::ZERO, news: Some(News::CaughtUp) });
}

#[test]
fn many_threads_never_see_a_jump_where_there_is_none() {
    let (clock, wall) = (Clock::new(), AtomicI64::new(START));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    // Two seconds a look: a comparison with what others saw later would be a jump.
                    let reading = clock.read(|| wall.fetch_add(2000, Ordering::SeqCst) + 2000, Instant::now);
                    assert_eq!((reading.behind, reading.news), (Duration::ZERO, None));
                }
            });
        }
    });
}

proptest! {
    #[test]
    fn time_never_goes_back_by_more_than_a_second(
        steps in prop::collection::vec((0_u32..100_000, prop_oneof![Just(0_i64), -1500_i64..1500, -10_000_000_i64..10_000_000]), 1..60),
    ) {
        let bench = Bench::new();
        let mut latest = bench.read().millis;
        for (passes, jump) in steps {
            let before = bench.read();
            bench.pass(passes);
            bench.set_by(jump);
            let reading = bench.read();
            prop_assert!(reading.millis >= latest - TOLERATED_MILLIS, "{before:?} {reading:?}");
            // While it goes by the monotonic clock it misses nothing of what has passed.
            if before.behind > Duration::ZERO {
                prop_assert!(reading.millis >= before.millis + i64::from(passes) - TOLERATED_MILLIS);
            }
            latest = latest.max(reading.millis);
        }
    }
}
