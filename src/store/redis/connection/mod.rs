//! How Redis is reached, however it is deployed: commands with bounded waits, and connections of their own for
//! what is published. The rest of the store sees commands and subscriptions, never a node.
//!
//! All keys are of one slot, so also with Sentinel and in a cluster there is one server at a time that has them. This
//! module finds it (`locator`), keeps connections to it and to no other (`way`, `lane`), and turns what goes wrong into one
//! word (`failure`).

mod address;
mod brake;
mod call;
mod cluster;
mod complaints;
mod failure;
mod lane;
mod locator;
mod node;
mod sentinel;
mod way;

use std::{sync::Arc, time::Duration};

use redis::{
    RedisError,
    aio::{MultiplexedConnection, PubSub},
};

pub use self::{
    address::Address,
    call::Request,
    failure::{Failure, Kind},
    locator::Stay,
};
use self::{complaints::Complaints, lane::Lanes, locator::Locator, way::Way};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it may take besides to find out where to.
const OPEN_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a command may take to be answered.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The way to one Redis.
#[derive(Clone)]
pub struct Connector {
    way: Way,
    lanes: Arc<Lanes>,
    complaints: Arc<Complaints>,
}

impl Connector {
    /// Prepares the way to the keys of the slot of `key`; nothing is opened yet. What all runtimes share is driven by the
    /// one that this is called on.
    ///
    /// # Errors
    /// For an address or certificates that cannot be understood.
    pub fn new(address: &Address, key: String) -> Result<Self, Failure> {
        let (deployment, access) =
            address.read().map_err(|rule| Failure::new(Kind::Other, format!("the address {rule}")))?;
        let locator = Locator::new(deployment, &access, key)?;
        let way = Way::new(access, locator);
        Ok(Self { way, lanes: Arc::default(), complaints: Arc::default() })
    }

    /// A connection to the master of one's own.
    ///
    /// # Errors
    /// Redis's, and those of the network.
    pub async fn first_connection(&self) -> Result<MultiplexedConnection, Failure> {
        Ok(self.way.open().await?.connection)
    }

    /// A connection to the master for what is published, and for how long it is one.
    ///
    /// # Errors
    /// After a bounded wait.
    pub async fn subscriptions(&self) -> Result<(PubSub, Stay), Failure> {
        // A connection for commands shows that this is the master.
        let placed = self.lanes.here().connection(&self.way).await?;
        let place = placed.place.clone();
        let pubsub = bounded(self.way.client(&place.node)?.get_async_pubsub()).await;
        if pubsub.is_err() {
            self.way.locator().doubt(&place);
        }
        Ok((pubsub?, self.way.locator().watch(place)))
    }

    /// Says in the log what went wrong, without repeating itself.
    pub fn complain(&self, call: &'static str, failure: &Failure) {
        self.complaints.hear(call, failure);
    }
}

/// Waits for an answer on a subscription connection, which has no timeout of its own.
///
/// # Errors
/// For no answer in time, and Redis's own errors.
pub async fn bounded<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, Failure> {
    match tokio::time::timeout(RESPONSE_TIMEOUT, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::new(Kind::Timeout, "no answer in time")),
    }
}
