//! Injection of the faults into a test bed.

use std::time::Duration;

use livestream_orchestrator::domain::Partition;
use tokio::time::sleep;

use super::{backend::Backend, fault::Fault, support::instance::signal, test_bed::TestBed};

impl Fault {
    /// Causes the fault and ends it.
    pub async fn inject(self, test_bed: &mut TestBed) {
        let seconds = Duration::from_secs;
        match self {
            // The clocks differ from the start on.
            Self::None | Self::PartitionClocks => sleep(seconds(10)).await,
            Self::InstanceKilled | Self::RollingRestart => self.restart(test_bed).await,
            Self::SubscriptionsKilled => {
                for _ in 0..10 {
                    test_bed.kill_connections("pubsub").await;
                    sleep(seconds(1)).await;
                }
            }
            Self::ConnectionsKilled => {
                for _ in 0..5 {
                    test_bed.kill_connections("pubsub").await;
                    test_bed.kill_connections("normal").await;
                    sleep(seconds(2)).await;
                }
            }
            Self::RedisPaused => {
                signal(test_bed.single().0.pid(), "STOP");
                sleep(seconds(5)).await;
                signal(test_bed.single().0.pid(), "CONT");
            }
            Self::RedisRestarted | Self::RedisEmptied => {
                test_bed.single().0.kill();
                sleep(seconds(1)).await;
                test_bed.single().0.restart();
            }
            Self::FeedSilent | Self::PartitionFeedSilent => self.silence(test_bed).await,
            Self::MessagesLost => {
                test_bed.single().1.drop_messages(30);
                sleep(seconds(10)).await;
                test_bed.single().1.drop_messages(0);
            }
            Self::Delay => {
                test_bed.single().1.delay(Duration::from_millis(500));
                sleep(seconds(10)).await;
                test_bed.single().1.delay(Duration::ZERO);
            }
            Self::RedisFull => {
                test_bed.single().0.execute(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
                sleep(seconds(5)).await;
                test_bed.single().0.execute(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
            }
            Self::SentinelMasterKilled | Self::SentinelChangesLost | Self::SentinelFailover => {
                self.fail_over(test_bed).await;
            }
            Self::ClusterMasterKilled | Self::PartitionMasterKilled => kill_owner(test_bed).await,
            Self::ClusterSlotMoved | Self::PartitionSlotMoved => move_slot(test_bed).await,
        }
    }

    /// Silences the messages of all partitions, or of one.
    async fn silence(self, test_bed: &mut TestBed) {
        let tag = test_bed.logs.tag(test_bed.logs.faulted());
        let channels = format!("{{{tag}}}:");
        let (_, proxy) = test_bed.single();
        match self {
            Self::PartitionFeedSilent => proxy.silence_messages(Some(&channels)),
            _ => proxy.silence_subscriptions(true),
        }
        sleep(Duration::from_secs(25)).await;
        proxy.silence_messages(None);
        proxy.silence_subscriptions(false);
    }

    async fn restart(self, test_bed: &mut TestBed) {
        if self == Self::InstanceKilled {
            test_bed.instances[0].kill();
            sleep(Duration::from_secs(3)).await;
            return test_bed.instances[0].start().await;
        }
        for instance in &mut test_bed.instances {
            instance.terminate().await;
            instance.start().await;
            sleep(Duration::from_secs(2)).await;
        }
    }

    async fn fail_over(self, test_bed: &mut TestBed) {
        let Backend::Sentinel(group) = &mut test_bed.backend else {
            unreachable!("the deployment has Sentinels")
        };
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
            // Until the Sentinels have notified every instance.
            sleep(Duration::from_secs(2)).await;
        }
        test_bed.logs.move_to(Partition::FIRST, group.nodes[master].url());
    }
}

/// Kills the master of a partition and waits for its replica.
async fn kill_owner(test_bed: &mut TestBed) {
    let tag = test_bed.logs.tag(test_bed.logs.faulted());
    let Backend::Cluster(cluster) = &mut test_bed.backend else {
        unreachable!("the deployment is a cluster")
    };
    let slot = cluster.slot(&tag).await;
    let at = cluster.owner(slot, 0).await.expect("an owner");
    cluster.kill(&[at]).await;
    let asked = (at + 1) % cluster.nodes.len();
    cluster.wait_for_new_owner(slot, asked, at).await;
    test_bed.logs.follow(&test_bed.backend, asked).await;
}

/// Moves the slot of a partition to each other master, and back.
async fn move_slot(test_bed: &mut TestBed) {
    let partition = test_bed.logs.faulted();
    let Backend::Cluster(cluster) = &test_bed.backend else { unreachable!("the deployment is a cluster") };
    let slot = cluster.slot(&test_bed.logs.tag(partition)).await;
    let mut at = cluster.owner(slot, 0).await.expect("an owner");
    let masters = cluster.masters().await;
    for to in masters.into_iter().filter(|node| *node != at).chain([at]).collect::<Vec<_>>() {
        cluster.begin_migration(slot, at, to).await;
        while cluster.move_keys(slot, at, to, 10).await > 0 {}
        cluster.finish_migration(slot, to).await;
        at = to;
        test_bed.logs.move_to(partition, cluster.nodes[at].url());
        sleep(Duration::from_secs(1)).await;
    }
}
