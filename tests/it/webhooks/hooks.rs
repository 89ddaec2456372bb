//! Addresses that keys name for their own events.

use std::path::Path;
use std::sync::Arc;

use keygate::config::{self, Environment, LoadedConfig};
use keygate::domain::Clock;
use keygate::store::{self, Store};
use keygate::webhooks::{HookError, Hooks};
use tempfile::TempDir;

use crate::support::postgres::Postgres;

const PUBLIC: &str = "https://1.1.1.1/hook";

fn loaded(url: &str, more: &str) -> LoadedConfig {
    let text = format!("[store]\nurl = \"{url}\"\n{more}");
    config::parse(&text, Path::new("k.toml"), &Environment::default()).unwrap()
}

async fn opened(loaded: &LoadedConfig) -> Arc<dyn Store> {
    let store = store::open(&loaded.config.store).await.unwrap();
    store.migrate().await.unwrap();
    store
}

async fn hooks(loaded: &LoadedConfig) -> (Arc<dyn Store>, Hooks) {
    let store = opened(loaded).await;
    let hooks = Hooks::new(Arc::clone(&store), loaded, Clock::system()).unwrap();
    (store, hooks)
}

#[tokio::test]
async fn a_hook_is_registered_found_and_removed_and_its_secret_is_unreadable_in_the_store() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("keygate.db").display());
    let (store, hooks) = hooks(&loaded(&url, "")).await;
    assert_eq!(hooks.find("key_1").await.unwrap(), None);
    let secret = hooks.register("key_1", PUBLIC).await.unwrap();
    assert_eq!(hooks.find("key_1").await.unwrap().as_deref(), Some(PUBLIC));
    let sealed = store.hook("key_1").await.unwrap().unwrap().sealed;
    let text = secret.text();
    for (place, _) in text.expose().char_indices().take(text.expose().len() - 8) {
        assert!(!sealed.contains(&text.expose()[place..place + 8]), "a part of it is in the store");
    }
    assert!(!format!("{secret:?}").contains(&text.expose()[6..]));
    assert!(hooks.remove("key_1").await.unwrap() && !hooks.remove("key_1").await.unwrap());
    assert_eq!(hooks.find("key_1").await.unwrap(), None);
}

#[tokio::test]
async fn what_events_may_not_go_to_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("keygate.db").display());
    let (store, hooks) = hooks(&loaded(&url, "")).await;
    for forbidden in [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1",
    ] {
        let refused = hooks.register("key_1", forbidden).await.unwrap_err();
        assert!(matches!(refused, HookError::Address(_)), "{forbidden}: {refused}");
    }
    for wrong in ["http://1.1.1.1", "https://me:hush@1.1.1.1", "file:///etc/passwd", ""] {
        let refused = hooks.register("key_1", wrong).await.unwrap_err();
        assert!(matches!(refused, HookError::Url(_)), "{wrong}: {refused}");
        assert!(!refused.to_string().contains("hush"), "{refused}");
    }
    assert_eq!(hooks.find("key_1").await.unwrap(), None);
    let allowed = loaded(&url, "[webhooks]\nallow_private_networks = true");
    let hooks = Hooks::new(store, &allowed, Clock::system()).unwrap();
    hooks.register("key_1", "http://127.0.0.1:9/").await.unwrap();
}

#[tokio::test]
async fn postgres_needs_a_key_for_hooks_and_says_so() {
    let Some(server) = Postgres::shared() else { return };
    let url = server.database();
    let (store, without) = hooks(&loaded(&url, "")).await;
    let refused = without.register("key_1", PUBLIC).await.unwrap_err();
    assert!(matches!(refused, HookError::NoKey), "{refused}");
    assert!(refused.to_string().contains("webhooks.key_file"), "{refused}");

    let folder = TempDir::new().unwrap();
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let file = folder.path().join("key");
    let config = format!("[webhooks]\nkey_file = \"{}\"", file.display());
    std::fs::write(&file, old).unwrap();
    let with = || Hooks::new(Arc::clone(&store), &loaded(&url, &config), Clock::system()).unwrap();
    with().register("key_1", PUBLIC).await.unwrap();
    assert_eq!(with().renew().await.unwrap(), 0);
    let first = store.hook("key_1").await.unwrap().unwrap().sealed;
    std::fs::write(&file, format!("{new}\n{old}")).unwrap();
    assert_eq!(with().renew().await.unwrap(), 1);
    assert_eq!(with().renew().await.unwrap(), 0);
    assert_ne!(store.hook("key_1").await.unwrap().unwrap().sealed, first);
}
