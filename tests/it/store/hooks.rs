//! Subjects' own addresses.

use keygate::domain::HookId;
use keygate::store::Hook;
use rstest::rstest;

use super::{Kind, at};

fn hook(subject: &str, url: &str) -> Hook {
    Hook {
        id: HookId::mint(),
        subject: subject.to_owned(),
        url: url.to_owned(),
        sealed: "v1.sealed".to_owned(),
        created_at: at(1_000),
    }
}

#[rstest]
#[tokio::test]
async fn a_subject_has_one_hook_which_keeps_its_id_when_it_is_replaced(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    assert_eq!(store.hook("key_1").await.unwrap(), None);
    let first = hook("key_1", "https://a/?b");
    store.put_hook(&first, "https://a/?***", "a:443").await.unwrap();
    let other = hook("own_1", "https://a/?b");
    store.put_hook(&other, "https://a/?***", "a:443").await.unwrap();
    assert_eq!(store.hook("key_1").await.unwrap(), Some(first.clone()));
    let second = hook("key_1", "https://c");
    store.put_hook(&second, "https://c", "c:443").await.unwrap();
    let expected = Hook { id: first.id.clone(), ..second };
    assert_eq!(store.hook("key_1").await.unwrap(), Some(expected.clone()));

    assert_eq!(store.hooks_after("", 10).await.unwrap(), [expected.clone(), other.clone()]);
    assert_eq!(
        store.hooks_after(first.id.as_str(), 10).await.unwrap(),
        std::slice::from_ref(&other)
    );
    store.reseal_hook(&expected, "v1.anew").await.unwrap();
    store.reseal_hook(&expected, "v1.late").await.unwrap();
    assert_eq!(store.hook("key_1").await.unwrap().unwrap().sealed, "v1.anew");

    assert!(store.remove_hook("key_1", at(2_000)).await.unwrap());
    assert!(!store.remove_hook("key_1", at(2_000)).await.unwrap());
    assert_eq!(store.hook("own_1").await.unwrap(), Some(other));
}
