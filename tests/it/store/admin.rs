//! Admin tokens and the dashboard's sessions.

use futures_util::future::join_all;
use keygate::domain::{
    AdminSession, AdminToken, AdminTokenId, Environment, Role, SessionId, TokenStatus,
};
use keygate::key::SecretFormat;
use keygate::store::AuditFilter;
use rstest::rstest;

use super::*;

const ALL: PageRequest = PageRequest { after: None, limit: 1000 };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn token(name: &str) -> AdminToken {
    let form = SecretFormat { live_prefix: "kga_".to_owned(), test_prefix: None, checksum: true };
    let minted = form.mint(Environment::Live).unwrap().unwrap();
    AdminToken {
        id: AdminTokenId::mint(),
        name: name.to_owned(),
        role: Role::Viewer,
        public_id: minted.id,
        hint: minted.hint,
        phc: "$argon2id$".to_owned(),
        created_at: at(1),
        expires_at: Some(at(1_000)),
        last_used_at: None,
        revoked_at: None,
    }
}

fn session(token: &AdminToken, digest: &str, ends: i64) -> AdminSession {
    AdminSession {
        id: SessionId::mint(),
        digest: digest.to_owned(),
        token: token.id.clone(),
        created_at: at(1),
        expires_at: at(ends),
        last_used_at: at(1),
        address: "2001:db8::1".parse().unwrap(),
        agent: "<script>".to_owned(),
    }
}

#[rstest]
#[tokio::test]
async fn a_token_comes_back_as_it_was_and_ends_once(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    assert!(!store.has_tokens().await.unwrap());
    let (one, two) = (token("one"), token("two"));
    store.create_token(&act(), &one).await.unwrap();
    store.create_token(&act(), &two).await.unwrap();
    assert!(store.has_tokens().await.unwrap());
    assert_eq!(store.token_by_public_id(one.public_id).await.unwrap(), Some(one.clone()));
    assert_eq!(store.token(&two.id).await.unwrap(), Some(two.clone()));
    let page = store.tokens(&PageRequest { after: None, limit: 1 }).await.unwrap();
    let next = PageRequest { after: page.next_cursor, limit: 1 };
    let further = store.tokens(&next).await.unwrap();
    assert_eq!((page.rows, further.rows), (vec![two.clone()], vec![one.clone()]));
    assert_eq!(further.next_cursor, None);

    store.note_token_use(&one.id, at(60)).await.unwrap();
    store.note_token_use(&one.id, at(30)).await.unwrap();
    let used = store.token(&one.id).await.unwrap().unwrap();
    assert_eq!(used.last_used_at, Some(at(60)), "a time never moves back");

    assert!(store.revoke_token(&Act::own(at(90)), &one.id).await.unwrap());
    assert!(!store.revoke_token(&Act::own(at(99)), &one.id).await.unwrap());
    let ended = store.token(&one.id).await.unwrap().unwrap();
    assert_eq!((ended.revoked_at, ended.status(at(90))), (Some(at(90)), TokenStatus::Revoked));
    assert_eq!(two.status(at(999)), TokenStatus::Active);
    assert_eq!(two.status(at(1_000)), TokenStatus::Expired);
    let told = store.audit(&AuditFilter::default(), &ALL).await.unwrap().rows;
    let told: Vec<(&str, &str)> =
        told.iter().map(|row| (row.action.as_str(), row.target.as_str())).collect();
    let (one, two) = (one.id.as_str(), two.id.as_str());
    let create = "admin_token.create";
    assert_eq!(told, [("admin_token.revoke", one), (create, two), (create, one)]);
}

#[rstest]
#[tokio::test]
async fn of_many_first_tokens_one_is_made(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (act, tokens) = (act(), [token("a"), token("b"), token("c"), token("d")]);
    let made = join_all(tokens.iter().map(|token| store.create_first_token(&act, token))).await;
    assert_eq!(made.into_iter().filter(|made| *made.as_ref().unwrap()).count(), 1);
    assert_eq!(store.tokens(&ALL).await.unwrap().rows.len(), 1);
    let told = store.audit(&AuditFilter::default(), &ALL).await.unwrap().rows;
    assert_eq!(told.len(), 1, "what was not made is not told of");
}

#[rstest]
#[tokio::test]
async fn a_session_ends_by_hand_by_time_and_with_its_token(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (one, two) = (token("one"), token("two"));
    for token in [&one, &two] {
        store.create_token(&act(), token).await.unwrap();
    }
    let all = [
        session(&one, "a", 100),
        session(&one, "b", 200),
        session(&two, "c", 200),
        session(&two, "d", 200),
    ];
    for session in &all {
        store.create_session(&act(), session).await.unwrap();
    }
    let found = store.session("a").await.unwrap();
    assert_eq!(found, Some((all[0].clone(), one.clone())));
    assert_eq!(store.session("e").await.unwrap(), None);
    let shown = async |now| -> Vec<String> {
        let page = store.sessions(at(now), &ALL).await.unwrap();
        page.rows.into_iter().map(|(session, _)| session.digest).collect()
    };
    assert_eq!(shown(99).await, ["d", "c", "b", "a"]);
    assert_eq!(shown(100).await, ["d", "c", "b"]);
    store.note_session_use(&all[1].id, at(60)).await.unwrap();
    store.note_session_use(&all[1].id, at(30)).await.unwrap();
    assert_eq!(store.session("b").await.unwrap().unwrap().0.last_used_at, at(60));

    assert!(store.end_session(&act(), &all[3].id).await.unwrap());
    assert!(!store.end_session(&act(), &all[3].id).await.unwrap());
    assert_eq!(store.session("d").await.unwrap(), None);
    assert_eq!(store.prune_sessions(at(100)).await.unwrap(), 1);
    assert_eq!(store.prune_sessions(at(100)).await.unwrap(), 0);
    store.revoke_token(&act(), &one.id).await.unwrap();
    assert_eq!(shown(100).await, ["c"]);
    let told = store.audit(&AuditFilter::default(), &ALL).await.unwrap().rows;
    let ended = told.iter().filter(|row| row.action == "session.end").count();
    assert_eq!(ended, 1, "by hand; the others end by themselves");
}
