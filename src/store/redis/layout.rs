//! The layout of a deployment, recorded under its prefix on each of its servers. It never changes, because streams
//! would be looked up in other partitions, or on other servers, than those that have them.

use std::{fmt, str::FromStr, sync::Arc};

use super::{client::RedisStore, codec::corrupt, connection::Address};
use crate::{
    domain::Partitioning,
    store::{Retention, StoreError},
    telemetry::Metrics,
};

/// The number of partitions, and the position of a server among those that share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of partitions of the deployment.
    pub partitions: u16,
    /// Position of the server in `REDIS_URL`, from 1.
    pub server: u16,
    /// Number of servers in `REDIS_URL`; 1 for a cluster.
    pub servers: u16,
}

impl fmt::Display for Layout {
    /// Writes the recorded form: `4`, or `4 2/3` on the second of three servers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, server, servers } = self;
        if *servers == 1 { write!(f, "{partitions}") } else { write!(f, "{partitions} {server}/{servers}") }
    }
}

impl FromStr for Layout {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let (partitions, place) = text.split_once(' ').unwrap_or((text, "1/1"));
        let (server, servers) = place.split_once('/').unwrap_or_default();
        let number = |text: &str| text.parse().map_err(|_| corrupt("number of partitions"));
        Ok(Self { partitions: number(partitions)?, server: number(server)?, servers: number(servers)? })
    }
}

impl Layout {
    /// Says how the recorded layout differs, and what to do; `None` if it is the same.
    pub fn difference(self, recorded: Self) -> Option<String> {
        if self == recorded {
            return None;
        }
        let Self { partitions, server, servers } = self;
        if partitions == recorded.partitions {
            return Some(format!(
                "REDIS_URL has as number {server} of {servers} a server that is number {} of {} of the deployment with \
                 this REDIS_PREFIX: neither the order nor the number of the servers can be changed",
                recorded.server, recorded.servers
            ));
        }
        Some(format!(
            "REDIS_PARTITIONS is {partitions}, and the deployment with this REDIS_PREFIX has {}: the number cannot be \
             changed; start a second deployment with another REDIS_PREFIX and end the streams of the first",
            recorded.partitions
        ))
    }
}

impl RedisStore {
    /// Makes a store for each server of a deployment, with the layout that the server must have recorded.
    ///
    /// # Errors
    /// As [`RedisStore::new`].
    pub fn of_servers(
        address: &Address,
        prefix: &str,
        partitioning: Partitioning,
        retention: Retention,
        metrics: &Arc<Metrics>,
    ) -> Result<Vec<(Self, Layout)>, StoreError> {
        let (partitions, all) = (partitioning.count(), address.servers());
        let servers = u16::try_from(all.len()).unwrap_or(u16::MAX);
        let one = |(server, address)| {
            let store = Self::new(&address, prefix, retention, metrics)?;
            Ok((store, Layout { partitions, server, servers }))
        };
        (1..).zip(all).map(one).collect()
    }

    /// Returns the layout that [`Self::record_layout`] would return, without recording one.
    ///
    /// A deployment without the record that has keys is one of an earlier version, with one partition.
    ///
    /// # Errors
    /// As [`Self::record_layout`].
    pub async fn layout_to_record(&self, wanted: Layout) -> Result<Layout, StoreError> {
        if let Some(recorded) = self.recorded_layout().await? {
            return Ok(recorded);
        }
        let is_used: bool = self.query("layout", redis::cmd("EXISTS").arg(self.keys.tail())).await?;
        Ok(if is_used { Layout { partitions: 1, server: 1, servers: 1 } } else { wanted })
    }

    /// Records the layout unless one is recorded, and returns the recorded one. The store must have the prefix itself
    /// as its hash tag, as that of [`RedisStore::new`] has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if Redis does not answer, [`StoreError::Corrupt`] for a record of unknown form.
    pub async fn record_layout(&self, wanted: Layout) -> Result<Layout, StoreError> {
        let layout = self.layout_to_record(wanted).await?;
        let mut record = redis::cmd("SET");
        record.arg(self.keys.partition_count()).arg(layout.to_string()).arg("NX");
        let _: redis::Value = self.query("layout", &record).await?;
        Ok(self.recorded_layout().await?.unwrap_or(layout))
    }

    /// Returns the recorded layout. The store is one as for [`Self::record_layout`].
    ///
    /// # Errors
    /// As [`Self::record_layout`].
    pub async fn recorded_layout(&self) -> Result<Option<Layout>, StoreError> {
        let recorded: Option<String> =
            self.query("layout", redis::cmd("GET").arg(self.keys.partition_count())).await?;
        recorded.as_deref().map(str::parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_parsed_from_its_recorded_form() {
        for (text, partitions, server, servers) in [("1", 1, 1, 1), ("16", 16, 1, 1), ("4 2/3", 4, 2, 3)] {
            let layout = Layout { partitions, server, servers };
            assert!(layout.to_string() == text && text.parse::<Layout>().unwrap() == layout, "{text}");
        }
        assert!("many".parse::<Layout>().is_err() && "4 2".parse::<Layout>().is_err());
    }
}
