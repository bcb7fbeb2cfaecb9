//! Examination of the partitions: which master has which, and whether the deployment has the same ones.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{
    finding::{Finding, Subject},
    redis::describe,
};
use crate::store::redis::{Layout, Place, RedisStore};

/// The masters of the partitions.
pub(super) struct PartitionMap {
    pub(super) findings: Vec<Finding>,
    /// The address of each master, and the index of one of its partitions. Without an address if it is the only one, or
    /// if no master was found.
    pub(super) masters: Vec<(Option<String>, usize)>,
}

/// Looks up the master of each partition; opens a connection to none.
pub(super) async fn map(partitions: &[RedisStore]) -> PartitionMap {
    let places = join_all(partitions.iter().map(RedisStore::place)).await;
    let (mut masters, mut findings) = (BTreeMap::<String, Vec<(usize, Option<u16>)>>::new(), Vec::new());
    for (partition, place) in places.into_iter().enumerate() {
        match place {
            Ok(Place { master, slot }) => masters.entry(master).or_default().push((partition, slot)),
            // The examination of the only partition says the same.
            Err(_) if partitions.len() == 1 => return PartitionMap { findings, masters: vec![(None, 0)] },
            Err(failure) => {
                let message = format!("partition {partition}: {}", describe(&failure));
                findings.push(Subject::Redis.failure(message));
            }
        }
    }
    let in_cluster = masters.values().flatten().any(|(_, slot)| slot.is_some());
    if partitions.len() > 1 || in_cluster {
        findings.extend(masters.iter().map(|(master, own)| on_master(master, own)));
    }
    let is_one = masters.len() == 1;
    let named = |(master, own): (String, Vec<(usize, _)>)| (Some(master).filter(|_| !is_one), own[0].0);
    PartitionMap { findings, masters: masters.into_iter().map(named).collect() }
}

/// Lists the partitions of a master, with their slots in a cluster.
fn on_master(master: &str, partitions: &[(usize, Option<u16>)]) -> Finding {
    let one = |(partition, slot): &(usize, Option<u16>)| match slot {
        Some(slot) => format!("{partition} (slot {slot})"),
        None => partition.to_string(),
    };
    let list: Vec<_> = partitions.iter().map(one).collect();
    let noun = if list.len() == 1 { "partition" } else { "partitions" };
    Subject::Redis.ok(format!("{master} has {noun} {}", list.join(", ")))
}

/// Compares the settings with what each server has recorded.
pub(super) async fn layout(servers: &[(RedisStore, Layout)]) -> Vec<Finding> {
    let differences = servers.iter().map(|(store, wanted)| async move {
        // A failure has been found already.
        let recorded = store.recorded_layout().await.ok()??;
        wanted.difference(recorded)
    });
    join_all(differences).await.into_iter().flatten().map(|text| Subject::Redis.failure(text)).collect()
}
