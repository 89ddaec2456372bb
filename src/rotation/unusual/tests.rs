use super::*;

const HOURS_OF_HISTORY: usize = 28 * 24;
const MONTH: usize = 30 * 24;

fn whole(requests: f64) -> u64 {
    format!("{requests:.0}").parse().unwrap_or(0)
}

/// A small generator with a seed (splitmix64), so that a series is the same on every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly between 0 and 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of a Poisson distribution: exactly for small means, by the normal one for large.
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 60.0 {
            let (u, v) = (self.part().max(f64::MIN_POSITIVE), self.part());
            let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            return whole((mean + mean.sqrt() * normal).max(0.0));
        }
        let (floor, mut product, mut count) = ((-mean).exp(), self.part(), 0);
        while product > floor {
            product *= self.part();
            count += 1;
        }
        count
    }
}

/// The hours of a series, beginning with midnight of a Monday, that would be told of.
fn alarms(series: &[u64]) -> Vec<usize> {
    let is_unusual = |at: &usize| {
        let from = at.saturating_sub(HOURS_OF_HISTORY);
        judge(&series[from..*at], series[*at]).is_some()
    };
    (0..series.len()).filter(is_unusual).collect()
}

/// A series whose means by the hour are given, with noise.
fn noisy(seed: u64, hours: usize, mean: impl Fn(usize) -> f64) -> Vec<u64> {
    let mut dice = Dice(seed);
    (0..hours).map(|hour| dice.poisson(mean(hour))).collect()
}

/// Office hours of a day: nothing at night, a peak after noon.
fn by_day(hour: usize, peak: f64) -> f64 {
    let of_day = (hour % 24) as f64;
    if (8.0..19.0).contains(&of_day) { peak * (1.0 - (of_day - 13.0).abs() / 8.0) } else { 0.5 }
}

fn by_week(hour: usize, peak: f64) -> f64 {
    if hour / 24 % 7 >= 5 { 0.2 } else { by_day(hour, peak) }
}

#[test]
fn a_steady_key_is_never_told_of() {
    assert!(alarms(&vec![5_000; 2 * MONTH]).is_empty());
    assert!(alarms(&vec![0; 2 * MONTH]).is_empty());
}

#[test]
fn a_rhythm_of_the_day_or_the_week_is_never_told_of() {
    for (seed, peak) in [(1, 40.0), (2, 400.0), (3, 20_000.0)] {
        let day = noisy(seed, 3 * MONTH, |hour| by_day(hour, peak));
        assert!(alarms(&day).is_empty(), "by day, {peak}: {:?}", alarms(&day));
        let week = noisy(seed, 3 * MONTH, |hour| by_week(hour, peak));
        assert!(alarms(&week).is_empty(), "by week, {peak}: {:?}", alarms(&week));
    }
}

#[test]
fn a_job_that_runs_once_a_day_or_once_a_week_is_never_told_of() {
    let nightly = |hour: usize| if hour % 24 == 3 { 50_000.0 } else { 2.0 };
    let weekly = |hour: usize| if hour % 168 == 75 { 50_000.0 } else { 2.0 };
    assert!(alarms(&noisy(4, 3 * MONTH, nightly)).is_empty());
    // Its second time is in the week that must be known, its first before any is.
    assert!(alarms(&noisy(5, 3 * MONTH, weekly)).is_empty());
}

#[test]
fn growth_of_a_tenth_a_day_is_never_told_of() {
    let grows = |hour: usize| 50.0 * 1.1_f64.powf(hour as f64 / 24.0);
    assert!(alarms(&noisy(6, 2 * MONTH, grows)).is_empty());
    let by_day = |hour: usize| by_day(hour, 100.0) * 1.1_f64.powf(hour as f64 / 24.0);
    assert!(alarms(&noisy(7, 2 * MONTH, by_day)).is_empty());
}

/// A thousand key-months: ten rates, a hundred keys each.
#[test]
fn noise_gives_no_alarm_in_a_thousand_months_of_keys() {
    let mut judged = 0;
    for (place, rate) in (0..).zip([1.0, 5.0, 20.0, 40.0, 60.0, 80.0, 100.0, 150.0, 300.0, 2_000.0])
    {
        for seed in 0..100 {
            let series = noisy(seed * 10 + place, MONTH, |_| rate);
            judged += series.len();
            assert_eq!(alarms(&series), [0; 0], "at {rate} an hour, seed {seed}");
        }
    }
    assert_eq!(judged, 1_000 * MONTH);
}

#[test]
fn a_tenfold_burst_is_told_of_and_only_in_its_first_hour() {
    let mut series = noisy(8, MONTH, |hour| by_week(hour, 400.0));
    // A Wednesday of the fourth week, at two in the afternoon.
    let at = (3 * 7 + 2) * 24 + 14;
    for hour in &mut series[at..at + 3] {
        *hour = *hour * 10 + 1_000;
    }
    assert_eq!(alarms(&series), [at]);
    let usual = judge(&series[..at], series[at]).unwrap();
    assert!((300..500).contains(&usual.most), "{usual:?}");
}

#[test]
fn a_stolen_key_is_told_of_in_the_night_though_the_day_has_more() {
    let mut series = noisy(9, MONTH, |hour| by_day(hour, 100.0));
    let at = 20 * 24 + 3;
    series[at] = 600;
    assert_eq!(alarms(&series), [at]);
}

#[test]
fn a_key_that_slept_and_wakes_with_a_burst_is_told_of() {
    let mut series = vec![0; MONTH];
    series[0] = 1;
    series[400] = 100;
    assert_eq!(alarms(&series), [400]);
}

#[test]
fn each_bound_of_the_rule_is_where_it_says() {
    let flat = |hours: usize| vec![40; hours];
    assert_eq!(judge(&flat(KNOWN), 121), Some(Usual { most: 40 }));
    assert_eq!(judge(&flat(KNOWN), 120), None, "not more than three times");
    assert_eq!(judge(&flat(KNOWN - 1), 121), None, "a week is not known");
    let low = vec![1; KNOWN];
    assert_eq!(judge(&low, 99), None, "fewer than a hundred");
    assert_eq!(judge(&low, 100), Some(Usual { most: 1 }));
    // The same at every other time of the day, but much in the hours of the middle of the day.
    let mut spread = vec![0; KNOWN];
    for hour in spread.iter_mut().skip(11).step_by(24) {
        *hour = 1_000;
    }
    assert_eq!(judge(&spread, 1_000), None, "within six standard deviations");
    assert!(judge(&spread, 1_300).is_some());
}

#[test]
fn an_hour_is_looked_at_once_and_when_its_requests_are_on_the_books() {
    let at = |second: i64| Timestamp::from_second(1_000 * HOUR_S + second).unwrap();
    let mut hours = Hours::default();
    assert!(!hours.are_to_be_looked_at(at(119)));
    assert!(hours.are_to_be_looked_at(at(120)));
    hours.looked_at(at(120));
    assert!(!hours.are_to_be_looked_at(at(3_599)));
    assert!(!hours.are_to_be_looked_at(at(3_600 + 119)));
    assert!(hours.are_to_be_looked_at(at(3_600 + 120)));
}

#[test]
fn hours_without_requests_are_hours_too() {
    let hour = |hour: i64| Timestamp::from_second(hour * HOUR_S).unwrap();
    let used = [(hour(5), 3), (hour(8), 4)];
    assert_eq!(by_the_hour(&used, hour(9)), [3, 0, 0, 4, 0]);
    assert!(by_the_hour(&[], hour(9)).is_empty());
}
