//! The faults.

use std::time::Duration;

use tokio::time::sleep;

use super::{scene::Scene, support::instance::signal};

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
        }
    }

    /// Whether Redis forgets what it had acknowledged: then, and only then, clients are told to start again.
    pub const fn loses_data(self) -> bool {
        matches!(self, Self::RedisEmptied)
    }

    /// Makes it, and ends it.
    pub async fn happen(self, scene: &mut Scene) {
        let seconds = Duration::from_secs;
        match self {
            Self::None => sleep(seconds(10)).await,
            Self::InstanceKilled => {
                scene.instances[0].kill();
                sleep(seconds(3)).await;
                scene.instances[0].start().await;
            }
            Self::RollingRestart => {
                for instance in &mut scene.instances {
                    instance.terminate().await;
                    instance.start().await;
                    sleep(seconds(2)).await;
                }
            }
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
                signal(scene.redis.pid(), "STOP");
                sleep(seconds(5)).await;
                signal(scene.redis.pid(), "CONT");
            }
            Self::RedisRestarted | Self::RedisEmptied => {
                scene.redis.kill();
                sleep(seconds(1)).await;
                scene.redis.start_again();
            }
            Self::FeedSilent => {
                scene.proxy.silence_feed(true);
                sleep(seconds(25)).await;
                scene.proxy.silence_feed(false);
            }
            Self::MessagesLost => {
                scene.proxy.lose(30);
                sleep(seconds(10)).await;
                scene.proxy.lose(0);
            }
            Self::Delay => {
                scene.proxy.delay(Duration::from_millis(500));
                sleep(seconds(10)).await;
                scene.proxy.delay(Duration::ZERO);
            }
        }
    }
}
