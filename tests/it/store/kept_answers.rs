//! Answers that are given again: claimed by one, kept for a while.

use keygate::store::{Claim, Claimed};
use rstest::rstest;

use super::{Kind, at};

fn claim(asker: &str, name: &str, request: &str) -> Claim {
    let [asker, name, request] = [asker, name, request].map(str::to_owned);
    Claim { asker, name, request }
}

fn before(request: &str, answer: Option<(i64, &str)>) -> Claimed {
    let answer = answer.map(|(status, answer)| (status, answer.to_owned()));
    Claimed::Before { request: request.to_owned(), answer }
}

#[rstest]
#[tokio::test]
async fn a_name_is_claimed_once_until_its_answer_has_had_its_time(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let mine = claim("key_1", "a", "x");
    let claimed = |claim: Claim, now: i64| {
        let store = &store;
        async move { store.claim_answer(&claim, at(now), at(now - 100)).await.unwrap() }
    };
    assert_eq!(claimed(mine.clone(), 1_000).await, Claimed::Now);
    assert_eq!(claimed(claim("key_1", "a", "y"), 1_000).await, before("x", None));
    assert_eq!(claimed(claim("key_2", "a", "x"), 1_000).await, Claimed::Now);
    assert_eq!(claimed(claim("key_1", "b", "x"), 1_000).await, Claimed::Now);
    store.keep_answer(&mine, 201, "sealed").await.unwrap();
    assert_eq!(claimed(mine.clone(), 1_100).await, before("x", Some((201, "sealed"))));
    store.let_claim_go(&mine).await.unwrap();
    store.keep_answer(&mine, 500, "another").await.unwrap();
    assert_eq!(claimed(mine.clone(), 1_100).await, before("x", Some((201, "sealed"))));
    assert_eq!(claimed(mine.clone(), 1_101).await, Claimed::Now, "its time is over");
    store.let_claim_go(&mine).await.unwrap();
    assert_eq!(claimed(mine.clone(), 1_102).await, Claimed::Now, "it was let go");
    assert_eq!(store.prune_answers(at(1_001)).await.unwrap(), 2);
    assert_eq!(claimed(mine, 1_103).await, before("x", None));
}

#[rstest]
#[tokio::test]
async fn of_claims_at_once_one_holds(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let claims: Vec<_> = (0..8)
        .map(|_| {
            let store = store.store.clone();
            tokio::spawn(async move {
                store.claim_answer(&claim("key_1", "a", "x"), at(1), at(0)).await.unwrap()
            })
        })
        .collect();
    let mut held = 0;
    for claim in claims {
        held += u32::from(claim.await.unwrap() == Claimed::Now);
    }
    assert_eq!(held, 1);
}
