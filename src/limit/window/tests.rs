//! What the counting promises, against the times of the passes themselves.

use proptest::prelude::*;

use super::*;

const MINUTE_MS: u64 = 60_000;

fn max(max: u32) -> NonZeroU32 {
    NonZeroU32::new(max).unwrap()
}

fn passes(window: &mut SlidingWindow, limit: u32, now_ms: u64) -> bool {
    let passes = window.state(max(limit), now_ms).remaining > 0;
    if passes {
        window.take(now_ms);
    }
    passes
}

#[test]
fn the_limit_passes_at_once_and_no_more() {
    let mut window = SlidingWindow::new(Window::Minute);
    assert_eq!((0..100).filter(|_| passes(&mut window, 60, 5_000)).count(), 60);
}

#[test]
fn a_client_that_keeps_an_even_pace_at_the_limit_is_never_refused() {
    for limit in [1, 7, 30, 60] {
        let mut window = SlidingWindow::new(Window::Minute);
        for turn in 0..500 {
            let now_ms = 123 + (turn * MINUTE_MS).div_ceil(limit);
            assert!(passes(&mut window, limit as u32, now_ms), "{limit}/min, request {turn}");
        }
    }
}

#[test]
fn above_it_an_even_pace_loses_no_more_than_one_in_63() {
    for limit in [64, 100, 1_000, 60_000] {
        let mut window = SlidingWindow::new(Window::Minute);
        let arrivals = limit * 10;
        let passed = (0..arrivals)
            .filter(|turn| passes(&mut window, limit as u32, turn * MINUTE_MS / limit))
            .count() as u64;
        assert!(passed * 63 >= arrivals * 62, "{limit}/min: {passed} of {arrivals}");
    }
}

#[test]
fn changing_a_limit_keeps_what_was_counted() {
    let mut window = SlidingWindow::new(Window::Minute);
    (0..5).for_each(|_| window.take(0));
    assert_eq!(window.state(max(5), 0).remaining, 0);
    assert_eq!(window.state(max(8), 0).remaining, 3);
    assert_eq!(window.state(max(2), 0).remaining, 0);
}

#[test]
fn time_that_goes_back_frees_nothing_and_costs_nothing() {
    let mut window = SlidingWindow::new(Window::Second);
    window.take(10_000);
    window.take(9_990);
    assert_eq!(window.state(max(3), 9_000).remaining, 1);
    assert_eq!(window.state(max(3), 10_999).remaining, 1);
    assert_eq!(window.state(max(3), 11_000), Standing::whole("3/s".parse().unwrap()));
}

#[test]
fn a_window_is_empty_after_any_rest_however_long() {
    for rest in [MINUTE_MS, 1 << 32, (1 << 32) + 1, 1 << 40] {
        let mut window = SlidingWindow::new(Window::Minute);
        window.take(77);
        assert_eq!(window.state(max(9), 77 + rest), Standing::whole("9/min".parse().unwrap()));
    }
}

#[test]
fn memory_is_64_bytes_and_64_entries_at_most() {
    assert!(size_of::<SlidingWindow>() <= 64);
    for kind in Window::ALL {
        let mut window = SlidingWindow::new(kind);
        let step = (length_ms(kind) / 997).max(1);
        for turn in 0..5_000 {
            window.take(turn * step);
            assert!(window.runs.len() <= 64, "{kind:?}");
        }
        assert!(window.runs.capacity() <= 64, "{kind:?}");
    }
}

/// Milliseconds between arrivals: bursts, the borders of runs and of the window, rests.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![
        4 => Just(0),
        4 => 0u64..100,
        2 => 900u64..1_010,
        2 => 0u64..5_000,
        1 => 59_000u64..61_000,
    ];
    proptest::collection::vec(gap, 1..400)
}

proptest! {
    #[test]
    fn no_window_wherever_it_begins_has_more_passes_than_the_limit(
        limit in 1u32..90,
        start in prop_oneof![0u64..200_000, (1u64 << 32) - 90_000..(1 << 32)],
        gaps in gaps(),
    ) {
        let mut window = SlidingWindow::new(Window::Minute);
        let mut now_ms = start;
        let mut passed = Vec::new();
        for gap in gaps {
            now_ms += gap;
            if passes(&mut window, limit, now_ms) {
                passed.push(now_ms);
            }
        }
        for (index, first) in passed.iter().enumerate() {
            let within = passed[index..].iter().take_while(|at| **at < first + MINUTE_MS).count();
            prop_assert!(within <= limit as usize, "{within} from {first}");
        }
    }

    #[test]
    fn retry_after_is_refused_before_and_passes_at_it(limit in 1u32..40, gaps in gaps()) {
        let mut window = SlidingWindow::new(Window::Minute);
        let mut now_ms = 0;
        for gap in gaps {
            now_ms += gap;
            let standing = window.state(max(limit), now_ms);
            prop_assert_eq!(standing.retry_after_ms == 0, standing.remaining > 0);
            if standing.remaining > 0 {
                window.take(now_ms);
            } else {
                let at = now_ms + standing.retry_after_ms;
                prop_assert!(!passes(&mut window.clone(), limit, at - 1));
                prop_assert!(passes(&mut window.clone(), limit, at));
            }
        }
    }

    #[test]
    fn reset_is_when_the_window_is_whole_again_and_not_before(limit in 1u32..40, gaps in gaps()) {
        let mut window = SlidingWindow::new(Window::Minute);
        let mut now_ms = 0;
        for gap in gaps {
            now_ms += gap;
            passes(&mut window, limit, now_ms);
            let reset = window.state(max(limit), now_ms).reset_in_ms;
            let remaining_at = |at| window.clone().state(max(limit), at).remaining;
            prop_assert!(reset > 0 && remaining_at(now_ms + reset - 1) < limit);
            prop_assert_eq!(remaining_at(now_ms + reset), limit);
        }
    }

    #[test]
    fn a_pass_is_forgotten_after_the_window_and_at_most_a_63rd_more(gaps in gaps()) {
        let mut window = SlidingWindow::new(Window::Minute);
        let mut now_ms = 0;
        let mut passed: Vec<u64> = Vec::new();
        for gap in gaps {
            now_ms += gap;
            let slack = MINUTE_MS.div_ceil(PARTS);
            let within = |length: u64| {
                passed.iter().filter(|at| now_ms - **at < length).count() as u32
            };
            let counted = u32::MAX - window.state(NonZeroU32::MAX, now_ms).remaining;
            prop_assert!(counted >= within(MINUTE_MS));
            prop_assert!(counted <= within(MINUTE_MS + slack));
            window.take(now_ms);
            passed.push(now_ms);
        }
    }
}
