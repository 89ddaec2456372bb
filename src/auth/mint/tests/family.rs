//! Keys under others: what they take over, and that none is wider.

use super::*;

/// A key that may read from one network until the end of March, for 50.00 a month.
async fn parent(fixture: &Fixture) -> KeyId {
    let new = NewKey {
        limits: Some(limits(&["60/min"])),
        allowed_ips: Some(ranges(&["10.0.0.0/8", "2001:db8::/32"])),
        expires_at: Some(Some(at("2027-03-31T00:00:00Z"))),
        monthly_budget: Some(amount("50.00")),
        ..scoped(&["agents:read"], &[])
    };
    fixture.mint().create(new).await.unwrap().0.key.id
}

fn under(parent: &KeyId) -> NewKey {
    NewKey { parent: Some(parent.clone()), ..plain() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn amount(text: &str) -> Millionths {
    text.parse().unwrap()
}

fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ranges(texts: &[&str]) -> Vec<AddressRange> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn what_is_left_out_is_taken_over_but_for_the_budget() {
    let fixture = Fixture::new().await;
    let parent = parent(&fixture).await;
    let (made, _) = fixture.mint().create(under(&parent)).await.unwrap();
    let above = fixture.mint().key(&parent).await.unwrap().key;
    let expected = Key {
        id: made.key.id.clone(),
        parent_id: Some(parent.clone()),
        monthly_budget: None,
        ..above
    };
    assert_eq!(made.key, expected);
    assert_eq!(fixture.mint().key(&made.key.id).await.unwrap(), made);
}

#[tokio::test]
async fn no_wish_that_is_wider_than_the_parent_is_granted_and_none_that_is_not_is_refused() {
    let fixture = Fixture::new().await;
    let parent = parent(&fixture).await;
    let wish = || under(&parent);
    let scopes = |names: &[&str]| scoped(names, &[]).grants;
    let end = |text: &str| Some(Some(at(text)));
    for (what, wide) in [
        ("scope", NewKey { grants: scopes(&["agents:write"]), ..wish() }),
        ("scope", NewKey { grants: scopes(&["agents:read", "agents:*"]), ..wish() }),
        ("scope", NewKey { grants: scopes(&["*"]), ..wish() }),
        ("scope", NewKey { grants: scoped(&[], &["all"]).grants, ..wish() }),
        ("expiry", NewKey { expires_at: Some(None), ..wish() }),
        ("expiry", NewKey { expires_at: end("2027-03-31T00:00:00.001Z"), ..wish() }),
        ("budget", NewKey { monthly_budget: Some(amount("50.000001")), ..wish() }),
        ("allowlist", NewKey { allowed_ips: Some(Vec::new()), ..wish() }),
        ("allowlist", NewKey { allowed_ips: Some(ranges(&["10.0.0.0/7"])), ..wish() }),
        ("allowlist", NewKey { allowed_ips: Some(ranges(&["10.1.0.0/16", "11.0.0.1"])), ..wish() }),
        ("allowlist", NewKey { allowed_ips: Some(ranges(&["::/0"])), ..wish() }),
        ("limits", NewKey { limits: Some(limits(&["61/min"])), ..wish() }),
        ("limits", NewKey { limits: Some(limits(&["2/s", "1000/day"])), ..wish() }),
        ("limits", NewKey { limits: Some(limits(&["61/hour"])), ..wish() }),
        ("environment", NewKey { environment: Some(Environment::Test), ..wish() }),
    ] {
        let (message, _) = fixture.refused(wide).await;
        assert!(message.contains(what), "{what}: {message}");
    }
    for fits in [
        NewKey { grants: scopes(&[]), ..wish() },
        NewKey { expires_at: end("2027-03-31T00:00:00Z"), ..wish() },
        NewKey { monthly_budget: Some(amount("50")), ..wish() },
        NewKey { allowed_ips: Some(ranges(&["::ffff:10.1.2.3", "2001:db8::1"])), ..wish() },
        NewKey { limits: Some(limits(&["1/s"])), ..wish() },
        NewKey { limits: Some(limits(&["100/s", "60/hour"])), ..wish() },
    ] {
        fixture.mint().create(fits).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_above_the_parent_bounds_too_and_so_do_later_cuts() {
    let fixture = Fixture::new().await;
    let mint = fixture.mint();
    let top = mint.create(scoped(&["agents:*"], &[])).await.unwrap().0.key.id;
    let middle = mint.create(under(&top)).await.unwrap().0.key.id;
    let cut = KeyChange {
        grants: scoped(&["agents:read"], &[]).grants,
        expires_at: Some(Some(at("2027-02-28T00:00:00Z"))),
        monthly_budget: Some(Some(amount("1"))),
        allowed_ips: Some(ranges(&["10.0.0.0/8"])),
        ..KeyChange::default()
    };
    mint.update(&top, cut).await.unwrap();
    assert_eq!(mint.key(&middle).await.unwrap().key.scopes, ["agents:*"], "its row is its own");
    let youngest = mint.create(under(&middle)).await.unwrap().0.key;
    assert_eq!(youngest.scopes, ["agents:read"]);
    assert_eq!(youngest.expires_at, Some(at("2027-02-28T00:00:00Z")));
    for wide in [
        KeyChange { grants: scoped(&["agents:write"], &[]).grants, ..KeyChange::default() },
        KeyChange { expires_at: Some(None), ..KeyChange::default() },
        KeyChange { monthly_budget: Some(Some(amount("1.01"))), ..KeyChange::default() },
        KeyChange { allowed_ips: Some(ranges(&["11.0.0.1"])), ..KeyChange::default() },
        KeyChange { limits: Some(limits(&["61/min", "1000/hour"])), ..KeyChange::default() },
    ] {
        let error = mint.update(&youngest.id, wide).await.unwrap_err();
        assert!(matches!(error, MintError::TooWide { .. } | MintError::MissingScope(_)), "{error}");
    }
    let fits = KeyChange { monthly_budget: Some(None), ..KeyChange::default() };
    mint.update(&youngest.id, fits).await.unwrap();
}

#[tokio::test]
async fn nothing_grows_under_a_key_that_may_not_call() {
    let fixture = Fixture::new().await;
    let mint = fixture.mint();
    let top = mint.create(plain()).await.unwrap().0.key.id;
    let parent = mint.create(under(&top)).await.unwrap().0.key.id;
    mint.set_disabled(&top, true).await.unwrap();
    let (message, _) = fixture.refused(under(&parent)).await;
    assert!(message.contains("is disabled"), "{message}");
    mint.set_disabled(&top, false).await.unwrap();
    mint.set_owner_disabled("default", true).await.unwrap();
    fixture.refused(under(&parent)).await;
    mint.set_owner_disabled("default", false).await.unwrap();
    mint.create(under(&parent)).await.unwrap();
    mint.revoke(&top, None).await.unwrap();
    fixture.refused(under(&parent)).await;
    fixture.refused(under(&KeyId::from_text("key_gone"))).await;
}

#[tokio::test]
async fn a_family_is_as_deep_and_as_large_as_the_configuration_says() {
    let fixture =
        Fixture::with(&format!("keys.max_depth = 2\nkeys.max_children = 3\n{CONFIG}")).await;
    let mint = fixture.mint();
    let top = mint.create(plain()).await.unwrap().0.key.id;
    let child = mint.create(under(&top)).await.unwrap().0.key.id;
    let grandchild = mint.create(under(&child)).await.unwrap().0.key.id;
    let (message, _) = fixture.refused(under(&grandchild)).await;
    assert!(message.contains("keys.max_depth"), "{message}");
    mint.create(under(&child)).await.unwrap();
    for parent in [&top, &child] {
        let (message, _) = fixture.refused(under(parent)).await;
        assert!(message.contains("keys.max_children"), "{message}");
    }
    mint.revoke(&grandchild, None).await.unwrap();
    mint.create(under(&top)).await.unwrap();
    fixture.refused(under(&top)).await;
}

#[tokio::test]
async fn a_family_stays_with_its_owner() {
    let fixture = Fixture::new().await;
    let mint = fixture.mint();
    let acme = mint.create_owner("acme".to_owned()).await.unwrap();
    let top = mint.create(plain()).await.unwrap().0.key.id;
    let child = mint.create(under(&top)).await.unwrap().0.key.id;
    let (message, _) =
        fixture.refused(NewKey { owner: Some(acme.id.to_string()), ..under(&top) }).await;
    assert!(message.contains("owner"), "{message}");
    for key in [&top, &child] {
        let change = KeyChange { owner: Some("acme".to_owned()), ..KeyChange::default() };
        let error = mint.update(key, change).await.unwrap_err();
        assert!(error.to_string().contains("can't be moved"), "{error}");
        let same = KeyChange { owner: Some("default".to_owned()), ..KeyChange::default() };
        mint.update(key, same).await.unwrap();
    }
}
