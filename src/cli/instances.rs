//! `instances`: who runs on the store, and how far each has come.

use std::collections::BTreeMap;

use super::Globals;
use super::failure::Result;
use super::output::{List, ago, say, span, table, time};
use super::session::Session;
use crate::domain::{Instance, InstanceStatus, SeenInstance};

/// Characters of a configuration's hash that people are shown.
const HASH_SHOWN: usize = 12;

/// Lists the instances.
pub(crate) async fn run(globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let data = session.store.instances().await?;
    for warning in odd_ones(&data) {
        say(&warning)?;
    }
    let list = List { data, next_cursor: None };
    globals.output().show(&list, || rows(&list.data))
}

fn rows(instances: &[SeenInstance]) -> String {
    if instances.is_empty() {
        return "No instance runs on this store.".to_owned();
    }
    let row = |seen: &SeenInstance| {
        let Instance { id, host, version, started_at, revision, config_hash } = &seen.instance;
        vec![
            id.to_string(),
            host.clone(),
            version.clone(),
            time(*started_at),
            seen.status.name().to_owned(),
            ago(seen.seen_ms_ago),
            revision.to_string(),
            span(seen.lag_ms),
            shortened(config_hash),
        ]
    };
    let headings =
        ["ID", "HOST", "VERSION", "STARTED", "STATUS", "SEEN", "REVISION", "LAG", "CONFIG"];
    table(&headings, instances.iter().map(row).collect())
}

/// A line for each thing in which those that run differ, and who is the odd one out.
fn odd_ones(instances: &[SeenInstance]) -> Vec<String> {
    let running: Vec<&Instance> = instances
        .iter()
        .filter(|seen| seen.status == InstanceStatus::Running)
        .map(|seen| &seen.instance)
        .collect();
    let versions = differing(&running, "versions of keygate", |one| one.version.clone());
    let hashes = differing(&running, "configurations", |one| shortened(&one.config_hash));
    versions.into_iter().chain(hashes).collect()
}

fn differing(
    running: &[&Instance],
    what: &str,
    of: impl Fn(&Instance) -> String,
) -> Option<String> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for instance in running {
        groups.entry(of(instance)).or_default().push(instance.id.as_str());
    }
    let most = groups.values().map(Vec::len).max()?;
    let all = groups.len();
    let common =
        groups.iter().find(|(_, ids)| ids.len() == most).map(|(value, _)| value.clone())?;
    groups.remove(&common);
    let others = groups.iter().map(|(value, ids)| format!("{value} on {}", ids.join(", ")));
    let others = others.collect::<Vec<_>>().join("; ");
    (all > 1).then(|| format!("warning: different {what} run: {common} on {most}, {others}"))
}

fn shortened(hash: &str) -> String {
    hash.chars().take(HASH_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::InstanceId;

    fn seen(id: &str, version: &str, hash: &str, seen_ms_ago: u64) -> SeenInstance {
        let instance = Instance {
            id: InstanceId::from_text(id),
            host: format!("{id} (pid 7)"),
            version: version.to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            revision: 17,
            config_hash: hash.repeat(64),
        };
        let status = InstanceStatus::after(seen_ms_ago);
        SeenInstance { instance, status, lag_ms: 0, seen_ms_ago }
    }

    #[test]
    fn instances_that_differ_from_the_most_are_named() {
        let alike = [seen("a", "1", "x", 0), seen("b", "1", "x", 0), seen("c", "2", "y", 9_000)];
        assert_eq!(odd_ones(&alike), [""; 0], "one that is silent runs no other version");
        let odd = [seen("a", "1", "x", 0), seen("b", "2", "x", 0), seen("c", "2", "y", 0)];
        assert_eq!(
            odd_ones(&odd),
            [
                "warning: different versions of keygate run: 2 on 2, 1 on a",
                "warning: different configurations run: xxxxxxxxxxxx on 2, yyyyyyyyyyyy on c"
            ]
        );
        assert_eq!(odd_ones(&[]), [""; 0]);
    }

    #[test]
    fn people_are_shown_a_table() {
        let all = [seen("inst_1", "1.2.3", "f", 412), seen("inst_2", "1.2.3", "f", 75_000)];
        insta::assert_snapshot!(rows(&all), @r"
        ID      HOST            VERSION  STARTED               STATUS   SEEN        REVISION  LAG   CONFIG
        inst_1  inst_1 (pid 7)  1.2.3    1970-01-01 00:00 UTC  running  412 ms ago  17        0 ms  ffffffffffff
        inst_2  inst_2 (pid 7)  1.2.3    1970-01-01 00:00 UTC  silent   1 min ago   17        0 ms  ffffffffffff
        ");
        assert_eq!(rows(&[]), "No instance runs on this store.");
    }
}
