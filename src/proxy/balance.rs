//! Which of several targets a request goes to: the less busy of two random ones.
//!
//! Of two random ones, so that workers that know nothing of each other do not all run to the same
//! idle target (Mitzenmacher, "The power of two choices in randomized load balancing", 2001). How
//! busy a target is, each worker counts for itself: it sees a random part of all requests, so a slow
//! target is as crowded for each as it is for all, and no request writes what another worker reads.

/// Chooses one of `count` targets: of those that are not `tried` and `stand`, else of those not
/// tried, else of all. `random` is spread over all its bits. `count` is at least 1.
pub fn choose(
    count: usize,
    tried: &[usize],
    stands: impl Fn(usize) -> bool,
    busy: impl Fn(usize) -> u32,
    random: u64,
) -> usize {
    let of_two = |fits: &dyn Fn(usize) -> bool| {
        let fitting = (0..count).filter(|target| fits(*target)).count();
        let (first, second) = two_of(fitting, random)?;
        let nth = |place| (0..count).filter(|target| fits(*target)).nth(place);
        let (first, second) = (nth(first)?, nth(second)?);
        Some(if busy(second) < busy(first) { second } else { first })
    };
    let untried = |target: usize| !tried.contains(&target);
    of_two(&|target| untried(target) && stands(target))
        .or_else(|| of_two(&untried))
        .or_else(|| of_two(&|_| true))
        .unwrap_or(0)
}

/// Two places below `count`, different where there are two; `None`: there is no place at all.
fn two_of(count: usize, random: u64) -> Option<(usize, usize)> {
    let below = |random: u64, bound: usize| ((random * bound as u64) >> 32) as usize;
    let (high, low) = (random >> 32, random & u64::from(u32::MAX));
    match count {
        0 => None,
        1 => Some((0, 0)),
        _ => {
            let first = below(high, count);
            Some((first, (first + 1 + below(low, count - 1)) % count))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_target_that_is_down_or_was_tried_is_taken_only_where_no_other_is_left(
            (stand, tried) in (1_usize..6).prop_flat_map(|count| (
                prop::collection::vec(any::<bool>(), count),
                prop::collection::vec(0..count, 0..4),
            )),
            busy in prop::collection::vec(0_u32..5, 6),
            random: u64,
        ) {
            let count = stand.len();
            let chosen = choose(count, &tried, |t| stand[t], |t| busy[t], random);
            prop_assert!(chosen < count);
            let untried = |t: &usize| !tried.contains(t);
            let good: Vec<usize> = (0..count).filter(untried).filter(|t| stand[*t]).collect();
            if good.is_empty() {
                prop_assert!(untried(&chosen) || !(0..count).any(|t| untried(&t)));
            } else {
                prop_assert!(good.contains(&chosen));
            }
            if let [one, other] = good[..] && busy[one] != busy[other] {
                let idler = if busy[one] < busy[other] { one } else { other };
                prop_assert_eq!(chosen, idler, "of two, the less busy one");
            }
        }

        #[test]
        fn the_two_are_different_and_within_bounds(count in 2_usize..50, random: u64) {
            let (first, second) = two_of(count, random).unwrap();
            prop_assert!(first < count && second < count && first != second);
        }
    }

    #[test]
    fn the_busiest_of_three_is_never_taken_and_equal_ones_all_are() {
        let random = |n: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let taken = |busy: [u32; 3]| -> [usize; 3] {
            let mut taken = [0; 3];
            (0..3_000).for_each(|n| taken[choose(3, &[], |_| true, |t| busy[t], random(n))] += 1);
            taken
        };
        assert_eq!(taken([1, 0, 2])[2], 0);
        assert!(taken([0, 0, 0]).iter().all(|times| *times > 800), "{:?}", taken([0, 0, 0]));
    }
}
