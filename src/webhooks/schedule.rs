//! When a delivery that was not taken is tried again.

use std::time::Duration;

/// Between one attempt and the next, on average: a day in all.
const PAUSES: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
    Duration::from_hours(8),
];

/// How long to wait behind the attempt of that number, from 1; `None`: it was the last. `chance`,
/// from 0 to 1, spreads what failed together: from half the pause to half as much again, so that
/// the whole takes a day on average, which a pause drawn from zero would halve.
pub(super) fn pause(attempt: u32, chance: f64) -> Option<Duration> {
    let pause = PAUSES.get(attempt.checked_sub(1)? as usize)?;
    Some(pause.mul_f64(0.5 + chance.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_for_a_day() {
        let total = |chance| (1..).map_while(|attempt| pause(attempt, chance)).sum::<Duration>();
        let day = Duration::from_hours(24);
        assert!(total(0.5) <= day && total(0.5) > Duration::from_hours(23), "{:?}", total(0.5));
        assert!(total(0.0) > day / 3 && total(1.0) < day * 2);
        assert_eq!((1..100).map_while(|attempt| pause(attempt, 0.5)).count(), 10);
        assert_eq!(pause(0, 0.5), None);
    }

    #[test]
    fn pauses_grow_and_are_spread_around_their_mean() {
        let means: Vec<_> = (1..=10).map(|attempt| pause(attempt, 0.5).unwrap()).collect();
        assert!(means.is_sorted());
        assert_eq!(pause(1, 0.0), Some(Duration::from_millis(2_500)));
        assert_eq!(pause(1, 1.0), Some(Duration::from_millis(7_500)));
    }
}
