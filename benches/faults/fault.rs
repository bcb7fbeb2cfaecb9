//! The faults: their names in the report and what they may cause.

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    InstanceKilled,
    RollingRestart,
    SubscriptionsKilled,
    ConnectionsKilled,
    RedisPaused,
    RedisRestarted,
    RedisEmptied,
    FeedSilent,
    MessagesLost,
    Delay,
    RedisFull,
    SentinelMasterKilled,
    SentinelChangesLost,
    SentinelFailover,
    ClusterMasterKilled,
    ClusterSlotMoved,
    PartitionMasterKilled,
    PartitionSlotMoved,
    PartitionFeedSilent,
    PartitionClocks,
}

/// Deployment of Redis in which a fault happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    Single,
    Sentinel,
    Cluster,
    /// Two servers, the clock of the second is 2 s ahead.
    Servers,
}

/// All faults, in the order of the report.
pub const FAULTS: &[Fault] = &[
    Fault::None,
    Fault::InstanceKilled,
    Fault::RollingRestart,
    Fault::SubscriptionsKilled,
    Fault::ConnectionsKilled,
    Fault::RedisPaused,
    Fault::RedisRestarted,
    Fault::RedisEmptied,
    Fault::FeedSilent,
    Fault::MessagesLost,
    Fault::Delay,
    Fault::RedisFull,
    Fault::SentinelMasterKilled,
    Fault::SentinelChangesLost,
    Fault::SentinelFailover,
    Fault::ClusterMasterKilled,
    Fault::ClusterSlotMoved,
    Fault::PartitionMasterKilled,
    Fault::PartitionSlotMoved,
    Fault::PartitionFeedSilent,
    Fault::PartitionClocks,
];

impl Fault {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none, for 10 s",
            Self::InstanceKilled => "an instance killed (SIGKILL), started again after 3 s",
            Self::RollingRestart => "rolling restart (SIGTERM) of all three",
            Self::SubscriptionsKilled => "pub/sub connections killed every second, ten times",
            Self::ConnectionsKilled => "all connections of Redis killed every 2 s, five times",
            Self::RedisPaused => "Redis stopped (SIGSTOP) for 5 s",
            Self::RedisRestarted => "Redis killed and restarted with its data (appendfsync always)",
            Self::RedisEmptied => "Redis killed and restarted without its data",
            Self::FeedSilent => "no pub/sub messages for 25 s, connections open",
            Self::MessagesLost => "30 % of the pub/sub messages lost, for 10 s",
            Self::Delay => "all answers and messages of Redis delayed by 500 ms, for 10 s",
            Self::RedisFull => "Redis full (maxmemory) for 5 s",
            Self::SentinelMasterKilled => "Sentinel: the master killed (SIGKILL)",
            Self::SentinelChangesLost => "Sentinel: the master killed, nothing replicated for 2 s before",
            Self::SentinelFailover => "Sentinel: a failover while the old master still answers",
            Self::ClusterMasterKilled => "cluster: the master of the slot killed (SIGKILL)",
            Self::ClusterSlotMoved => "cluster: the slot moved to another master, three times",
            Self::PartitionMasterKilled => "4 partitions, cluster: the master of one killed (SIGKILL)",
            Self::PartitionSlotMoved => "4 partitions, cluster: the slot of one moved, three times",
            Self::PartitionFeedSilent => "4 partitions: no pub/sub messages of one for 25 s",
            Self::PartitionClocks => "4 partitions: clocks of two servers 2 s apart, for 10 s",
        }
    }

    /// Whether Redis loses acknowledged changes. Clients then get resets.
    pub const fn loses_data(self) -> bool {
        matches!(self, Self::RedisEmptied)
    }

    /// Whether Redis may lose acknowledged changes, because replication is asynchronous.
    pub const fn may_lose_data(self) -> bool {
        self.loses_data()
            || matches!(
                self,
                Self::SentinelMasterKilled
                    | Self::SentinelChangesLost
                    | Self::SentinelFailover
                    | Self::ClusterMasterKilled
                    | Self::PartitionMasterKilled
            )
    }

    pub const fn deployment(self) -> Deployment {
        match self {
            Self::SentinelMasterKilled | Self::SentinelChangesLost | Self::SentinelFailover => {
                Deployment::Sentinel
            }
            Self::ClusterMasterKilled
            | Self::ClusterSlotMoved
            | Self::PartitionMasterKilled
            | Self::PartitionSlotMoved => Deployment::Cluster,
            Self::PartitionClocks => Deployment::Servers,
            _ => Deployment::Single,
        }
    }

    /// Number of partitions of the deployment.
    pub const fn partitions(self) -> u16 {
        match self {
            Self::PartitionMasterKilled
            | Self::PartitionSlotMoved
            | Self::PartitionFeedSilent
            | Self::PartitionClocks => 4,
            _ => 1,
        }
    }
}
