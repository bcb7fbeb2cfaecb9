//! Connections to the master: opened on one runtime, examined before each use.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use redis::aio::MultiplexedConnection;
use tokio::{runtime::Handle, sync::Mutex, time::timeout};

use super::{
    OPEN_TIMEOUT,
    address::Access,
    brake::Brake,
    failure::{Failure, Kind},
    locator::{Locator, Place},
    node::{self, Node, Question},
};

/// A connection, and to which master.
pub struct Placed {
    pub(super) connection: MultiplexedConnection,
    pub(super) place: Place,
    /// As [`Inner::broken`], when it was opened.
    broken: u64,
}

/// Opens connections on one runtime, whoever asks for them. What drives a connection runs where it was opened, and HTTP
/// workers have runtimes of their own that end before the process does.
#[derive(Clone)]
pub struct Way(Arc<Inner>);

struct Inner {
    access: Access,
    locator: Arc<Locator>,
    brake: Brake,
    /// How often a connection has broken or gone silent. Those from before are not asked one after another, each with a
    /// wait of its own, whether they are still good.
    broken: AtomicU64,
    runtime: Handle,
    /// Whether this user may not ask a server for its role.
    only_pings: AtomicBool,
    /// To where a slot is being moved, while it is.
    aside: Mutex<Option<(Node, MultiplexedConnection)>>,
}

impl Way {
    pub(super) fn new(access: Access, locator: Arc<Locator>) -> Self {
        Self(Arc::new(Inner {
            access,
            locator,
            brake: Brake::default(),
            broken: AtomicU64::new(0),
            runtime: Handle::current(),
            only_pings: AtomicBool::new(false),
            aside: Mutex::default(),
        }))
    }

    pub(super) fn locator(&self) -> &Arc<Locator> {
        &self.0.locator
    }

    /// A client for subscriptions at a place.
    ///
    /// # Errors
    /// For certificates that cannot be understood.
    pub(super) fn client(&self, node: &Node) -> Result<redis::Client, Failure> {
        Ok(self.0.access.client(node)?)
    }

    /// Opens a connection to the master.
    ///
    /// # Errors
    /// After a bounded wait; at once where it has only just failed.
    pub(super) async fn open(&self) -> Result<Placed, Failure> {
        let way = self.clone();
        let opened = self.0.runtime.spawn(async move {
            way.0.brake.check()?;
            let late = |_| Failure::new(Kind::Timeout, "no connection could be opened in time");
            let opened = timeout(OPEN_TIMEOUT, way.try_open()).await.map_err(late).flatten();
            match &opened {
                Ok(_) => way.0.brake.release(),
                Err(failure) => way.0.brake.pull(failure),
            }
            opened
        });
        opened.await.map_err(|error| Failure::new(Kind::Other, io::Error::from(error).to_string()))?
    }

    async fn try_open(&self) -> Result<Placed, Failure> {
        let broken = self.0.broken.load(Ordering::Relaxed);
        let place = self.0.locator.place().await?;
        let opened = async {
            let mut connection = node::open(&self.client(&place.node)?).await?;
            self.examine(&mut connection).await?;
            Ok(connection)
        };
        match opened.await {
            Ok(connection) => Ok(Placed { connection, place, broken }),
            Err(failure) => {
                // Whatever it is: the next one asks who the master is.
                self.0.locator.doubt(&place);
                Err(failure)
            }
        }
    }

    /// Draws the conclusions of what went wrong at a place.
    pub(super) fn learn(&self, place: &Place, failure: &Failure) {
        if matches!(failure.kind, Kind::Timeout | Kind::Connection | Kind::Refused) {
            self.0.broken.fetch_add(1, Ordering::Relaxed);
        }
        if failure.doubts_master() {
            self.0.locator.doubt(place);
        }
    }

    async fn examine(&self, connection: &mut MultiplexedConnection) -> Result<(), Failure> {
        let only_pings = self.0.only_pings.load(Ordering::Relaxed);
        let question = if only_pings { Question::Ping } else { Question::Role };
        if node::examine(connection, question).await? == Question::Ping && !only_pings {
            self.0.only_pings.store(true, Ordering::Relaxed);
            tracing::warn!(
                "Redis does not allow ROLE: a replica in place of the master is noticed only when it refuses a change"
            );
        }
        Ok(())
    }

    /// The connection to where a slot is being moved, shared by all who are sent there.
    ///
    /// # Errors
    /// After a bounded wait.
    pub(super) async fn aside(&self, node: Node) -> Result<MultiplexedConnection, Failure> {
        let mut aside = self.0.aside.lock().await;
        if let Some((at, connection)) = &*aside
            && *at == node
        {
            return Ok(connection.clone());
        }
        let client = self.client(&node)?;
        let opened = self.0.runtime.spawn(async move { node::open(&client).await });
        let opened = opened.await.map_err(|error| Failure::new(Kind::Other, error.to_string()))??;
        *aside = Some((node, opened.clone()));
        Ok(opened)
    }

    /// The connection of [`Self::aside`] is not good any more.
    pub(super) async fn leave_aside(&self) {
        *self.0.aside.lock().await = None;
    }
}

impl managed::Manager for Way {
    type Type = Placed;
    type Error = Failure;

    async fn create(&self) -> Result<Placed, Failure> {
        self.open().await
    }

    async fn recycle(&self, placed: &mut Placed, _: &Metrics) -> RecycleResult<Failure> {
        if !self.0.locator.is_present(&placed.place) {
            return Err(RecycleError::message("another server is the master now"));
        }
        if placed.broken != self.0.broken.load(Ordering::Relaxed) {
            return Err(RecycleError::message("others of its time have broken"));
        }
        match self.examine(&mut placed.connection).await {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.learn(&placed.place, &failure);
                Err(RecycleError::Backend(failure))
            }
        }
    }
}
