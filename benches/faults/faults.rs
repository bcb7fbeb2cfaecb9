//! The faults.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    scene::{Backend, Scene},
    support::instance::signal,
};

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
}

/// What a fault is a fault of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    One,
    Sentinel,
    Cluster,
}

/// In the order of the report.
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
            Self::FeedSilent => "pub/sub silent for 25 s, connections open",
            Self::MessagesLost => "30 % of the pub/sub messages lost, for 10 s",
            Self::Delay => "everything that Redis says 500 ms late, for 10 s",
            Self::RedisFull => "Redis full (maxmemory) for 5 s",
            Self::SentinelMasterKilled => "Sentinel: the master killed (SIGKILL)",
            Self::SentinelChangesLost => "Sentinel: the master killed, nothing replicated for 2 s before",
            Self::SentinelFailover => "Sentinel: a failover while the old master goes on answering",
            Self::ClusterMasterKilled => "cluster: the master of the slot killed (SIGKILL)",
            Self::ClusterSlotMoved => "cluster: the slot moved to another master, three times",
        }
    }

    /// Whether Redis forgets what it had acknowledged: then, and only then, clients are told to start again.
    pub const fn loses_data(self) -> bool {
        matches!(self, Self::RedisEmptied)
    }

    /// Whether it may: replication is asynchronous.
    pub const fn may_lose_data(self) -> bool {
        self.loses_data()
            || matches!(
                self,
                Self::SentinelMasterKilled
                    | Self::SentinelChangesLost
                    | Self::SentinelFailover
                    | Self::ClusterMasterKilled
            )
    }

    pub const fn deployment(self) -> Deployment {
        match self {
            Self::SentinelMasterKilled | Self::SentinelChangesLost | Self::SentinelFailover => {
                Deployment::Sentinel
            }
            Self::ClusterMasterKilled | Self::ClusterSlotMoved => Deployment::Cluster,
            _ => Deployment::One,
        }
    }

    /// Makes it, and ends it.
    pub async fn happen(self, scene: &mut Scene) {
        let seconds = Duration::from_secs;
        match self {
            Self::None => sleep(seconds(10)).await,
            Self::InstanceKilled | Self::RollingRestart => self.restart(scene).await,
            Self::SubscriptionsKilled => {
                for _ in 0..10 {
                    scene.kill_connections("pubsub").await;
                    sleep(seconds(1)).await;
                }
            }
            Self::ConnectionsKilled => {
                for _ in 0..5 {
                    scene.kill_connections("pubsub").await;
                    scene.kill_connections("normal").await;
                    sleep(seconds(2)).await;
                }
            }
            Self::RedisPaused => {
                signal(scene.one().0.pid(), "STOP");
                sleep(seconds(5)).await;
                signal(scene.one().0.pid(), "CONT");
            }
            Self::RedisRestarted | Self::RedisEmptied => {
                scene.one().0.kill();
                sleep(seconds(1)).await;
                scene.one().0.restart();
            }
            Self::FeedSilent => {
                scene.one().1.silence_subscriptions(true);
                sleep(seconds(25)).await;
                scene.one().1.silence_subscriptions(false);
            }
            Self::MessagesLost => {
                scene.one().1.drop_messages(30);
                sleep(seconds(10)).await;
                scene.one().1.drop_messages(0);
            }
            Self::Delay => {
                scene.one().1.delay(Duration::from_millis(500));
                sleep(seconds(10)).await;
                scene.one().1.delay(Duration::ZERO);
            }
            Self::RedisFull => {
                scene.one().0.execute(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
                sleep(seconds(5)).await;
                scene.one().0.execute(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
            }
            Self::SentinelMasterKilled | Self::SentinelChangesLost | Self::SentinelFailover => {
                self.fail_over(scene).await;
            }
            Self::ClusterMasterKilled | Self::ClusterSlotMoved => self.change_owner(scene).await,
        }
    }

    async fn restart(self, scene: &mut Scene) {
        if self == Self::InstanceKilled {
            scene.instances[0].kill();
            sleep(Duration::from_secs(3)).await;
            return scene.instances[0].start().await;
        }
        for instance in &mut scene.instances {
            instance.terminate().await;
            instance.start().await;
            sleep(Duration::from_secs(2)).await;
        }
    }

    async fn fail_over(self, scene: &mut Scene) {
        let Backend::Sentinel(group) = &mut scene.backend else { unreachable!("there are Sentinels") };
        match self {
            Self::SentinelFailover => group.force_failover().await,
            _ => {
                if self == Self::SentinelChangesLost {
                    group.nodes[0].execute(&["ACL", "SETUSER", "default", "-psync", "-sync"]).await.unwrap();
                    group.nodes[0].execute(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap();
                    sleep(Duration::from_secs(2)).await;
                }
                group.nodes[0].kill();
            }
        }
        let master = group.wait_for_new_master(0).await;
        if self == Self::SentinelFailover {
            // Until every instance has been told.
            sleep(Duration::from_secs(2)).await;
        }
        let url = group.nodes[master].url();
        scene.logs_are_at(url);
    }

    async fn change_owner(self, scene: &mut Scene) {
        let Backend::Cluster(cluster) = &mut scene.backend else { unreachable!("there is a cluster") };
        let slot = cluster.slot(&scene.prefix).await;
        let mut at = cluster.owner(slot, 0).await.expect("an owner");
        if self == Self::ClusterMasterKilled {
            cluster.kill(&[at]).await;
            let asked = (at + 1) % cluster.nodes.len();
            let other = cluster.wait_for_new_owner(slot, asked, at).await;
            let url = cluster.nodes[other].url();
            return scene.logs_are_at(url);
        }
        let masters = cluster.masters().await;
        for to in masters.into_iter().filter(|node| *node != at).chain([at]).collect::<Vec<_>>() {
            cluster.begin_migration(slot, at, to).await;
            while cluster.move_keys(slot, at, to, 10).await > 0 {}
            cluster.finish_migration(slot, to).await;
            at = to;
            *scene.log_url.lock().unwrap() = cluster.nodes[at].url();
            sleep(Duration::from_secs(1)).await;
        }
    }
}
